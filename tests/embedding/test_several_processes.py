"""`embed` in several processes, as a user starts and ends it."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

from emoji_lightning.cli import main
from emoji_lightning.embedding import store as store_module
from emoji_lightning.embedding.digests import manifest_keys
from emoji_lightning.embedding.encoder import load_encoder
from emoji_lightning.embedding.extract import embed_manifest
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import read_manifest

REPOSITORY = Path(__file__).parents[2]


class Crowd(NamedTuple):
    """A manifest with copies, segments and bad audio, and the store that one process makes of it."""

    manifest: Path
    model: Path
    store: EmbeddingStore


BAD = {"02.wav": "text", "05.wav": "missing", "09.wav": "5 samples", "pipe.wav": "pipe"}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Crowd:
    folder = tmp_path_factory.mktemp("crowd")
    rows = []
    for number in range(12):
        time = np.arange(4_000 + 500 * number) / 16_000
        soundfile.write(folder / f"{number:02d}.wav", 0.3 * np.sin(2 * np.pi * (200 + 20 * number) * time), 16_000)
        shutil.copy(folder / f"{number:02d}.wav", folder / f"copy{number:02d}.wav")
        rows += [f"{number:02d}.wav,,", f"copy{number:02d}.wav,,"]
    rows += [
        "00.wav,0,",
        "01.wav,0,0.2",
        "01.wav,,0.2",
        "11.wav,0.1,0.3",
        "copy11.wav,0.1,0.3",
        "11.wav,0.2,",
        "pipe.wav,,",
    ]
    (folder / "02.wav").write_text("no audio")
    (folder / "05.wav").unlink()
    soundfile.write(folder / "09.wav", np.zeros(5), 16_000)
    os.mkfifo(folder / "pipe.wav")
    manifest = folder / "crowd.csv"
    lines = [f"u{number},{row}" for number, row in enumerate(rows)]
    manifest.write_text("\n".join(["id,audio,start,end", *lines]) + "\n", encoding="utf-8")
    encoder = load_encoder(str(tiny_model), device="cpu")
    spec = replace(encoder.spec, long_audio=LongAudio().describe())
    store = EmbeddingStore.open_or_create(folder / "store of one", spec)
    embed_manifest(read_manifest(manifest), encoder, store, max_failed=4)
    return Crowd(manifest, tiny_model, store)


def start(crowd: Crowd, store: Path, environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run `embed` as a user would."""
    command = [sys.executable, str(REPOSITORY / "train.py"), "embed", str(crowd.manifest), "--store", str(store)]
    command += ["--encoder", str(crowd.model), "--device", "cpu", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def assert_like_one_process(crowd: Crowd, path: Path) -> None:
    store = EmbeddingStore.open(path)
    assert store.spec == crowd.store.spec
    keys = [
        key for part in store.path.glob("part-*.parquet") for key in store_module.pq.read_table(part)["key"].to_pylist()
    ]
    assert len(keys) == len(set(keys))  # no copy was embedded twice
    assert set(keys) == crowd.store.keys()
    assert np.array_equal(store.read(sorted(keys)), crowd.store.read(sorted(keys)))
    by_row = manifest_keys(read_manifest(crowd.manifest), store)
    assert [key is None or key not in keys for key in by_row].count(True) == 4
    assert (path / "failed.csv").read_bytes() == (crowd.store.path / "failed.csv").read_bytes()
    with (path / "failed.csv").open(encoding="utf-8", newline="") as file:
        assert [row["audio"] for row in csv.DictReader(file)] == list(BAD)


def test_two_processes_make_the_store_of_one(crowd: Crowd, tmp_path: Path, child_environment: dict[str, str]) -> None:
    finished = start(crowd, tmp_path / "store", child_environment, "--trainer.devices", "2")
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert_like_one_process(crowd, tmp_path / "store")
    assert len(list((tmp_path / "store").glob("part-*.parquet"))) == 2
    errors = finished.stderr.splitlines()
    assert [line.startswith("error: ") for line in errors].count(True) == 1
    assert "Traceback" not in finished.stderr
    assert errors[-1].startswith("4 of 31 utterances have audio that cannot be used; all others are in the store.")


@pytest.mark.slow
def test_three_processes_make_the_store_of_one_and_say_so_once(
    crowd: Crowd, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    words = ("--trainer.devices", "3", "--max-failed", "4")
    finished = start(crowd, tmp_path / "store", child_environment, *words)
    assert finished.returncode == 0, finished.stderr
    assert_like_one_process(crowd, tmp_path / "store")
    (line,) = finished.stdout.splitlines()
    num_new = len(crowd.store.keys())
    assert line.startswith(f"{tmp_path / 'store'}: {num_new} embedded (0.00 h, ")
    assert line.endswith(f"{27 - num_new} there before, 4 failed (listed in {tmp_path / 'store' / 'failed.csv'})")


def test_a_store_of_another_encoder_is_one_error(
    crowd: Crowd, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    EmbeddingStore.open_or_create(tmp_path / "store", LogMelEncoder().spec)
    finished = start(crowd, tmp_path / "store", child_environment, "--trainer.devices", "2")
    assert finished.returncode == 2
    assert [line.startswith("error: ") for line in finished.stderr.splitlines()].count(True) == 1
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize(
    ("words", "variable", "error"),
    [
        (["--trainer.devices", "2", "--device", "foo"], "", "--device is 'foo' with several processes; expected auto,"),
        (["--trainer.devices", "99", "--device", "cuda"], "", "--trainer.devices is 99, torch "),
        ([], "2", "2 processes were started, --trainer.devices 1 x --trainer.num_nodes 1 asks for 1; make them agree"),
        (["--trainer.devices", "3"], "2", "2 processes were started, --trainer.devices 3 x --trainer.num_nodes 1 asks"),
    ],
)
def test_processes_and_devices_that_do_not_agree_are_one_error(
    corpus: Path,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: list[str],
    variable: str,
    error: str,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", variable)
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["embed", str(corpus), "--store", str(tmp_path / "store"), "--encoder", str(tiny_model), *words])
    assert capsys.readouterr().err.startswith(f"error: {error}")
    assert not (tmp_path / "store").exists()


SLOWLY = """
import sys, time
from pathlib import Path
from emoji_lightning.cli import main
from emoji_lightning.cli.notices import quiet_lightning
from emoji_lightning.embedding.devices import embed_on_devices
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import read_manifest

class Slow(LogMelEncoder):
    done = 0

    def _embed(self, waveform):
        if self.done == 3:
            print("some are done", flush=True)
            time.sleep(600)
        self.done += 1
        return super()._embed(waveform)

quiet_lightning()
store = EmbeddingStore.open_or_create(Path(sys.argv[2]), Slow().spec)
embed_on_devices(read_manifest(sys.argv[1]), lambda _: Slow(), lambda _: store, accelerator="cpu", devices=1)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_ends_the_run_and_keeps_what_is_finished(
    corpus: Path, tmp_path: Path, child_environment: dict[str, str], number: int, code: int
) -> None:
    command = [sys.executable, "-c", SLOWLY, str(corpus), str(tmp_path / "store")]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=child_environment, **pipes) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "some are done\n"
        run.send_signal(number)
        _, errors = run.communicate(timeout=60)
    assert run.returncode == code
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert len(EmbeddingStore.open(tmp_path / "store").keys()) == 3
