"""What becomes of a store when a run is killed, interrupted, out of disk, or not alone."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emoji_lightning.audio import audio_key, load_waveform
from emoji_lightning.embedding import extract
from emoji_lightning.embedding import store as store_module
from emoji_lightning.embedding.encoder import Encoder, load_encoder
from emoji_lightning.embedding.extract import embed_manifest
from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.manifest import Manifest, read_manifest

NUM_MANY = 36
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore.open_or_create(tmp_path / "store", LogMelEncoder().spec)


@pytest.fixture
def many(tmp_path: Path, write_tone: Callable[..., Path]) -> Path:
    """A manifest of 36 different tones: twelve parts of three."""
    folder = tmp_path / "many"
    for number in range(NUM_MANY):
        write_tone(folder / f"{number:02d}.wav", seconds=0.15, frequency=200 + 20 * number)
    (folder / "many.csv").write_text("audio\n" + "".join(f"{number:02d}.wav\n" for number in range(NUM_MANY)))
    return folder / "many.csv"


def lengths_of(store: EmbeddingStore) -> list[int]:
    return [len(store_module.pq.read_table(part)) for part in store.path.glob("part-*.parquet")]


def leftovers(store: EmbeddingStore) -> set[Path]:
    return set(store.path.glob(".*.tmp"))


def assert_complete(store: EmbeddingStore, manifest: Manifest, encoder: Encoder) -> None:
    """Assert that a store holds what an undisturbed run brings: these keys, and these vectors to the bit."""
    paths = manifest.audio_paths()
    keys = [audio_key(path) for path in paths]
    assert store.keys() == set(keys)
    assert np.array_equal(store.read(keys), np.stack([encoder.encode(load_waveform(path)) for path in paths]))


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_while_a_part_is_written_does_not_cost_the_part(
    corpus: Path, store: EmbeddingStore, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, parts = store_module.pq.write_table, count()

    def write(table: Any, file: Path, **options: Any) -> None:
        real(table, file, **options)
        if next(parts) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(extract, "PART_SIZE", 3)
    monkeypatch.setattr(store_module.pq, "write_table", write)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        embed_manifest(read_manifest(corpus), encoder, store)
    assert lengths_of(store) == [3, 3]
    assert len(store.keys()) == 6
    assert embed_manifest(read_manifest(corpus), encoder, store).num_new == 6
    assert_complete(store, read_manifest(corpus), LogMelEncoder())


# The worker threads are at work, eight vectors are done, and at least two of them are in no part yet.
SLOW = """
import sys, time
from emoji_lightning.cli.main import main
from emoji_lightning.embedding import extract
from emoji_lightning.embedding.network import Network

extract.PART_SIZE = 3
keep, compute = extract.Extraction.keep, Network.__call__

def keep_and_say(self, embedded):
    keep(self, embedded)
    print("kept", flush=True)

def compute_slowly(self, waveforms):
    time.sleep(0.05)
    return compute(self, waveforms)

extract.Extraction.keep, Network.__call__ = keep_and_say, compute_slowly
main(sys.argv[1:])
"""


def test_ctrl_c_ends_the_command_with_a_word_and_keeps_every_vector(
    many: Path, tmp_path: Path, tiny_model: Path, child_environment: dict[str, str]
) -> None:
    options = [str(many), "--store", str(tmp_path / "store"), "--encoder", str(tiny_model), "--device", "cpu"]
    with subprocess.Popen([sys.executable, "-c", SLOW, "embed", *options], env=child_environment, **PIPES) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(8)] == ["kept\n"] * 8
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (130, "interrupted; what was finished is kept\n")
    assert set(output.split()) <= {"kept"}
    store, encoder = EmbeddingStore.open(tmp_path / "store"), load_encoder(str(tiny_model), device="cpu")
    num_kept = len(store.keys())
    assert 8 + output.count("kept") <= num_kept < NUM_MANY
    assert leftovers(store) == set()
    report = embed_manifest(read_manifest(many), encoder, store)
    assert (report.num_new, report.num_known) == (NUM_MANY - num_kept, num_kept)
    assert_complete(store, read_manifest(many), encoder)


# --- a full disk -----------------------------------------------------------------------------------------------------


# After the first part no file can grow above 1,000 bytes: the kernel takes the beginning and refuses the rest (EFBIG).
FILLED = """
import resource, sys
from emoji_lightning.cli.main import main
from emoji_lightning.embedding import extract
from emoji_lightning.embedding.store import EmbeddingStore

extract.PART_SIZE = 3
append = EmbeddingStore.append

def append_and_fill(*words):
    append(*words)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

EmbeddingStore.append = append_and_fill
main(sys.argv[1:])
"""


def test_a_disk_that_really_fills_up_is_one_line_and_the_next_run_completes(
    corpus: Path, store: EmbeddingStore, encoder: Encoder, child_environment: dict[str, str]
) -> None:
    command = [sys.executable, "-c", FILLED, "embed", str(corpus), "--store", str(store.path), "--encoder", "logmel"]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=False, timeout=60)
    line = r"error: \S+/store/part-\w+\.parquet: cannot be written \(File too large\); what was finished before is kept"
    assert re.fullmatch(line + "\n", done.stderr)
    assert (done.returncode, done.stdout) == (2, "")
    assert lengths_of(store) == [3]
    assert len(store.keys()) == 3
    assert leftovers(store) == set()  # room again for the next try
    assert not (store.path / "files.arrow").exists()  # only a cache: no second error
    report = embed_manifest(read_manifest(corpus), encoder, store)
    assert (report.num_new, report.num_known) == (9, 3)
    assert_complete(store, read_manifest(corpus), LogMelEncoder())


# --- not alone -------------------------------------------------------------------------------------------------------


# Before the first file of each kind (spec.json, a part, files.arrow) a run waits for the other one.
TOGETHER = """
import sys
from emoji_lightning.cli.main import main
from emoji_lightning.embedding import digests, extract, store

extract.PART_SIZE = 3
real, kinds = store.write_whole, set()

def write_together(path, write, **options):
    if path.suffix not in kinds:
        kinds.add(path.suffix)
        print(path.suffix, flush=True)
        sys.stdin.readline()
    real(path, write, **options)

store.write_whole = digests.write_whole = write_together
main(sys.argv[1:])
"""


def test_two_runs_on_one_store_at_once_do_no_harm(
    many: Path, tmp_path: Path, child_environment: dict[str, str]
) -> None:
    folder = tmp_path / "store"
    command = [sys.executable, "-c", TOGETHER, "embed", str(many), "--store", str(folder), "--encoder", "logmel"]
    runs = [subprocess.Popen(command, env=child_environment, **PIPES) for _ in range(2)]
    for kind in (".json", ".parquet", ".arrow"):
        assert [run.stdout.readline() for run in runs] == [f"{kind}\n"] * 2
        for run in runs:
            run.stdin.write("go\n")
            run.stdin.flush()
    for run in runs:
        output, errors = run.communicate(timeout=60)
        assert (run.returncode, errors) == (0, "")
        assert output.startswith(f"{folder}: 36 embedded ")  # neither knew of the other's parts when it began
    store, manifest = EmbeddingStore.open(folder), read_manifest(many)
    assert_complete(store, manifest, LogMelEncoder())
    assert leftovers(store) == set()
    tables = [store_module.pq.read_table(part) for part in folder.glob("part-*.parquet")]
    rows = [row for table in tables for row in zip(table["key"].to_pylist(), vectors_in(table), strict=True)]
    assert set(Counter(key for key, _ in rows).values()) == {2}  # each run made each vector once ...
    assert len({(key, vector.tobytes()) for key, vector in rows}) == NUM_MANY  # ... and both the same
    report = embed_manifest(manifest, LogMelEncoder(), store)
    assert (report.num_new, report.num_known) == (0, NUM_MANY)


def vectors_in(table: Any) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = table["embedding"].combine_chunks().flatten().to_numpy()
    return flat.reshape(len(table), -1)


# --- kill -9 ---------------------------------------------------------------------------------------------------------


# Plays a plan of kills [event, how many of it, delay as a share of an undisturbed run]: a child reports its events,
# stops itself at the one where it is to be killed at once, and is killed. What is imported here is paid for once; no
# thread may have been started before a fork. A run that ends before its kill does not count: a new store, once more.
KILLS = """
import json, os, signal, sys, time, traceback
from collections import Counter
from itertools import count
from pathlib import Path
from threading import Lock

import omegaconf
from emoji_lightning.embedding import digests, extract, reading, store as store_module
from emoji_lightning.embedding.emotion2vec import Network
from emoji_lightning.embedding.encoder import load_encoder
from emoji_lightning.manifest import read_manifest

manifest, model, folder, plan = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])

def embed(store, say):
    say("loading")
    extract.PART_SIZE = 3
    read, compute, write_whole = reading.read_bytes, Network.__call__, store_module.write_whole

    def write_in_steps(path, write, **options):
        kind = "part" if path.suffix == ".parquet" else path.name

        def write_half_then_whole(file):
            write(file)
            data = file.read_bytes()
            file.write_bytes(data[: len(data) // 2])
            say("half " + kind)
            file.write_bytes(data)
            say("whole " + kind)

        write_whole(path, write_half_then_whole, **options)
        say("placed " + kind)

    reading.read_bytes = lambda path: (say("reading"), read(path))[1]
    Network.__call__ = lambda self, waveforms: (say("computing"), compute(self, waveforms))[1]
    store_module.write_whole = digests.write_whole = write_in_steps
    encoder = load_encoder(model, device="cpu")
    store = store_module.EmbeddingStore.open_or_create(store, encoder.spec)
    extract.embed_manifest(read_manifest(manifest), encoder, store)

def play(store, target="", number=0, share=0.0):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        seen, lock = Counter(), Lock()

        def say(event):
            with lock:
                seen[event] += 1
                os.write(writer, (event + "\\n").encode())
                if (event, seen[event], share) == (target, number, 0.0):
                    os.kill(os.getpid(), signal.SIGSTOP)

        try:
            embed(store, say)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    events = []
    with os.fdopen(reader) as lines:
        for line in lines:
            events.append(line.strip())
            if events[-1] == target and events.count(target) == number:
                time.sleep(share * undisturbed_s)
                os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"store": store.name, "status": status, "phase": events[-1] if share else target}

undisturbed_s, stores = 0.0, count()
start = time.monotonic()
rounds = [play(folder / "undisturbed")]
undisturbed_s = time.monotonic() - start
store = folder / str(next(stores))
for event, number, share in plan:
    if event.endswith("spec.json") and store.exists():
        store = folder / str(next(stores))
    for _ in range(9):
        rounds.append(play(store, event, number, share))
        if rounds[-1]["status"]:
            break
        store, share = folder / str(next(stores)), 0.7 * share
rounds += [play(each) for each in sorted(folder.iterdir()) if each.name != "undisturbed"]
print(json.dumps(rounds))
"""
AT_ONCE = ["loading", "reading", "computing"]
AT_ONCE += [f"{state} {kind}" for kind in ("spec.json", "part", "files.arrow") for state in ("half", "whole")]
AT_ONCE += ["placed part"]


def test_twenty_kills_at_any_moment_end_as_if_nothing_had_happened(
    many: Path, tmp_path: Path, tiny_model: Path, child_environment: dict[str, str]
) -> None:
    moments = random.Random(20)
    often = ("reading", "computing", "half part", "whole part", "placed part")
    plan = [(event, moments.randint(1, 3) if event in often else 1, 0.0) for event in AT_ONCE]
    plan += [("loading", 1, moments.uniform(0.01, 0.9)) for _ in range(20 - len(plan))]
    moments.shuffle(plan)
    folder = tmp_path / "stores"
    command = [sys.executable, "-c", KILLS, str(many), str(tiny_model), str(folder), json.dumps(plan)]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    rounds = json.loads(done.stdout)
    killed = [each["phase"] for each in rounds if each["status"] == -signal.SIGKILL]
    assert (len(killed), {each["status"] for each in rounds}) == (20, {0, -signal.SIGKILL})
    assert set(AT_ONCE) <= set(killed)

    undisturbed, encoder = EmbeddingStore.open(folder / "undisturbed"), load_encoder(str(tiny_model), device="cpu")
    assert_complete(undisturbed, read_manifest(many), encoder)
    stores = [EmbeddingStore.open(each) for each in folder.iterdir()]
    keys = sorted(undisturbed.keys())
    for store in stores:
        assert store.keys() == set(keys)
        assert np.array_equal(store.read(keys), undisturbed.read(keys))
        assert sum(lengths_of(store)) == NUM_MANY  # each run saw the parts of those before: no vector twice
        assert (store.path / "spec.json").read_bytes() == (undisturbed.path / "spec.json").read_bytes()
        others = {file.name for file in store.path.iterdir() if not file.match("part-*.parquet")}
        assert others == {"spec.json", "files.arrow"} | {file.name for file in leftovers(store)}
    assert_swept_after_an_hour(stores, read_manifest(many), encoder)


def assert_swept_after_an_hour(stores: list[EmbeddingStore], manifest: Manifest, encoder: Encoder) -> None:
    """Assert that the next run takes away what killed ones left, but nothing of a neighbour that is at work."""
    left = {file for store in stores for file in leftovers(store)}  # young: the runs after the kills kept them
    assert {file.name.split(".")[1].partition("-")[0] for file in left} == {"spec", "part", "files"}
    for file in left:
        os.utime(file, (time.time(), time.time() - 3_700))
    at_work = [store.path / ".part-1.parquet.0123.tmp" for store in stores]
    for file in at_work:
        file.write_text("half")
    for store in stores:
        assert embed_manifest(manifest, encoder, store).num_new == 0
    assert {file for store in stores for file in leftovers(store)} == set(at_work)
