"""emotion2vec gives funasr's vectors, records what made them and leaves the process as it was."""

import hashlib
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folder import WEIGHTS, load
from numpy.typing import NDArray
from quiet_funasr import undisturbed

from emoji_lightning.audio import load_waveform
from emoji_lightning.embedding import network as network_module
from emoji_lightning.embedding.encoder import load_encoder
from emoji_lightning.errors import EncoderError

if find_spec("funasr") is None:
    pytest.skip("funasr is not installed (extra: dev)", allow_module_level=True)

Waveform = NDArray[np.float32]
Generate = Callable[[Path, Waveform], Waveform]
SHARED = Path(__file__).resolve().parents[3] / "shared"
MAKE_MODEL = SHARED / "tools" / "make_emotion2vec.py"
EMODB = SHARED / "data" / "emodb"
PARITY = 5e-5
needs_shared = pytest.mark.skipif(
    not (MAKE_MODEL.is_file() and EMODB.is_dir()), reason=f"{MAKE_MODEL} or {EMODB} is not on this machine"
)


pytestmark = pytest.mark.usefixtures("one_thread")


# --- the same vectors as funasr --------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [400, 719, 5_000, 16_000, 80_000])
def test_vectors_are_those_of_funasr(
    tiny_model: Path, generate: Generate, speechlike: Callable[..., Waveform], num_samples: int
) -> None:
    waveform = speechlike(num_samples)
    embedding = load(tiny_model).encode(waveform)
    assert embedding.shape == (48,)
    assert np.abs(embedding - generate(tiny_model, waveform)).max() < PARITY
    assert embedding.std() > 0.1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("normalize: true", "normalize: false"),
        ("layer_norm_first: false", "layer_norm_first: true"),
        ("learned_alibi_scale_per_layer: false", "learned_alibi_scale_per_layer: true"),
        ("conv_pos_pre_ln: false", "conv_pos_pre_ln: true"),
        ("num_extra_tokens: 10", "num_extra_tokens: 3"),
        ("num_extra_tokens: 10", "num_extra_tokens: 0"),
        ("num_alibi_heads: 4", "num_alibi_heads: 3"),
        ("learned_alibi_scale_per_head: true", "learned_alibi_scale_per_head: false"),
        ("use_alibi_encoder: true", "use_alibi_encoder: false"),
        ("norm_affine: true", "norm_affine: false"),
        ("conv_pos_width: 25", "conv_pos_width: 30"),
        ("embed_dim: 48\n  num_heads: 4", "embed_dim: 96\n  num_heads: 6"),
    ],
)
def test_every_kind_of_model_gives_funasr_s_vectors(
    build_model: Callable[[Path, str], Path],
    tiny_model: Path,
    tmp_path: Path,
    generate: Generate,
    speechlike: Callable[..., Waveform],
    *,
    old: str,
    new: str,
) -> None:
    config = (tiny_model / "config.yaml").read_text(encoding="utf-8")
    assert config.count(old) == 1
    folder = build_model(tmp_path / "other", config.replace(old, new))
    waveform = speechlike(5_000) + np.float32(0.05)  # an offset, which only normalising takes away
    encoder = load(folder)
    embedding, expected = encoder.encode(waveform), generate(folder, waveform)
    assert np.abs(embedding - expected).max() < PARITY
    padded = encoder._run([speechlike(9_000), waveform])[1]
    assert np.abs(padded - expected).max() < PARITY
    if "extra" not in new and "dim" not in new:
        assert np.abs(embedding - load(tiny_model).encode(waveform)).max() > 0.01


def test_the_vector_does_not_depend_on_what_was_encoded_before(
    tiny_model: Path, speechlike: Callable[..., Waveform]
) -> None:
    encoder = load(tiny_model)
    first = encoder.encode(speechlike(5_000))
    for num_samples in (400, 40_000):
        encoder.encode(speechlike(num_samples, seed=num_samples))
    assert np.array_equal(first, encoder.encode(speechlike(5_000)))


def test_loudness_and_offset_do_not_change_the_vector_of_a_normalising_model(
    tiny_model: Path, speechlike: Callable[..., Waveform]
) -> None:
    encoder, waveform = load(tiny_model), speechlike(8_000)
    assert np.abs(encoder.encode(waveform) - encoder.encode(3 * waveform + np.float32(0.1))).max() < 2e-3


def test_silence_has_a_finite_vector(tiny_model: Path) -> None:
    assert np.isfinite(load(tiny_model).encode(np.zeros(16_000, np.float32))).all()


def test_the_caller_s_waveform_is_left_as_it_is(tiny_model: Path, speechlike: Callable[..., Waveform]) -> None:
    waveform = speechlike(5_000)
    load(tiny_model).encode(waveform)
    assert np.array_equal(waveform, speechlike(5_000))


@pytest.fixture
def make_shared_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Run the shared tool, in this process: its import of funasr would cost another five seconds."""

    def make(size: str) -> Path:
        monkeypatch.setattr(sys, "argv", [str(MAKE_MODEL), size, str(tmp_path / size)])
        with undisturbed():
            runpy.run_path(str(MAKE_MODEL), run_name="__main__")
        return tmp_path / size

    return make


@needs_shared
def test_a_model_of_768_values_agrees_on_real_speech(
    make_shared_model: Callable[[str], Path], generate: Generate
) -> None:
    folder = make_shared_model("--tiny")
    encoder = load(folder)
    assert encoder.spec.dim == 768
    for file in sorted((EMODB / "audio").glob("*.flac"))[:535:200]:
        waveform = load_waveform(file)
        assert np.abs(encoder.encode(waveform) - generate(folder, waveform)).max() < PARITY


@needs_shared
@pytest.mark.slow
def test_a_model_of_full_size_agrees_on_real_speech(
    make_shared_model: Callable[[str], Path], generate: Generate
) -> None:
    folder = make_shared_model("--full")
    encoder = load(folder)
    assert (folder / WEIGHTS).stat().st_size > 93e6 * 4
    for file in sorted((EMODB / "audio").glob("*.flac"))[:535:300]:
        waveform = load_waveform(file)
        assert np.abs(encoder.encode(waveform) - generate(folder, waveform)).max() < PARITY


# --- what is recorded ------------------------------------------------------------------------------------------------


def test_the_spec_records_the_digests_of_both_files(tiny_model: Path) -> None:
    spec = load(tiny_model).spec
    digests = [hashlib.sha256((tiny_model / name).read_bytes()).hexdigest() for name in (WEIGHTS, "config.yaml")]
    assert [spec.weights_sha256, spec.config_sha256] == digests
    assert (spec.encoder, spec.dim, spec.device, spec.precision) == ("tiny", 48, "cpu", "fp32")


def test_weights_are_found_without_configuration_json(model_copy: Path, speechlike: Callable[..., Waveform]) -> None:
    expected = load(model_copy).encode(speechlike(5_000))
    (model_copy / "configuration.json").unlink()
    assert np.array_equal(load(model_copy).encode(speechlike(5_000)), expected)
    (model_copy / WEIGHTS).rename(model_copy / "model.pt")
    assert np.array_equal(load(model_copy).encode(speechlike(5_000)), expected)


def test_configuration_json_says_which_weights(model_copy: Path) -> None:
    (model_copy / WEIGHTS).rename(model_copy / "mine.pt")
    (model_copy / WEIGHTS).write_text("something else")
    metas = {"file_path_metas": {"init_param": "mine.pt", "config": "config.yaml"}}
    (model_copy / "configuration.json").write_text(json.dumps(metas))
    assert len(load(model_copy).spec.weights_sha256) == 64


# --- surroundings ----------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_an_error_and_not_the_cpu(tiny_model: Path) -> None:
    devices = (
        ["cuda:99", "cuda:128", "cuda:99999999999"]
        if torch.cuda.is_available()
        else ["cuda", "cuda:0", "cuda:99", "cuda:99999999999"]
    )
    for device in devices:
        with pytest.raises(
            EncoderError, match=rf"device '{device}' is not there: torch .* finds \d+ CUDA devices; use"
        ):
            load_encoder(str(tiny_model), device=device)


def test_utterances_together_get_the_vectors_that_they_get_alone(
    tiny_model: Path, speechlike: Callable[..., Waveform]
) -> None:
    """To the bit: on a CPU nothing that stands beside an utterance takes part."""
    encoder = load(tiny_model)
    waveforms = [speechlike(length, seed=length) for length in (400, 30_000, 5_000, 719, 12_345, 5_000)]
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1], [1, 0]):
        found = dict(encoder.encode_batch([waveforms[position] for position in order]))
        assert sorted(found) == list(range(len(order)))
        assert all(np.array_equal(found[at], encoder.encode(waveforms[row])) for at, row in enumerate(order))


def test_one_that_cannot_be_embedded_harms_no_other(tiny_model: Path, speechlike: Callable[..., Waveform]) -> None:
    encoder = load(tiny_model)
    waveforms = [speechlike(399), speechlike(5_000), np.full(500, np.nan, np.float32), speechlike(800)]
    found = dict(encoder.encode_batch(waveforms))
    assert str(found[0]) == "399 samples (24.9 ms), at least 400 (25 ms) are needed"
    assert str(found[2]) == "the waveform holds NaN or infinite samples"
    assert np.array_equal(found[1], encoder.encode(waveforms[1]))
    assert np.array_equal(found[3], encoder.encode(waveforms[3]))


@pytest.mark.parametrize(
    ("free_gb", "precision", "frames"), [(2, "fp32", 2_000), (8, "fp32", 50_790), (80, "bf16", 65_536)]
)
def test_a_gpu_gets_as_many_padded_frames_as_its_memory_holds(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, *, free_gb: int, precision: str, frames: int
) -> None:
    encoder = load(tiny_model)
    encoder._device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_gb << 30, 200 << 30))
    limits = encoder._choose_limits(None, precision)
    assert limits.padded_frames == pytest.approx(frames, rel=0.01)
    assert limits.window_frames == 4 * limits.padded_frames
    assert encoder._choose_limits(123, precision).padded_frames == 123


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine")
def test_a_gpu_gives_funasr_s_vectors(
    tiny_model: Path, generate: Generate, speechlike: Callable[..., Waveform]
) -> None:
    waveforms = [speechlike(length, seed=length) for length in (400, 30_000, 5_000, 719, 120_000)]
    expected = [generate(tiny_model, waveform) for waveform in waveforms]
    for precision, bound in (("fp32", PARITY), ("bf16", 0.5)):
        encoder = load_encoder(str(tiny_model), device="cuda", precision=precision)
        found = dict(encoder.encode_batch(waveforms))
        assert max(np.abs(found[row] - expected[row]).max() for row in range(len(waveforms))) < bound
        assert (encoder.spec.device, encoder.spec.precision) == ("cuda", precision)


def test_a_batch_that_the_memory_does_not_hold_is_halved(
    tiny_model: Path, speechlike: Callable[..., Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, sizes = load(tiny_model), []
    network = encoder._network

    def small(tensors: list[torch.Tensor]) -> torch.Tensor:
        sizes.append(len(tensors))
        if len(tensors) > 2 or len(tensors[0]) > 20_000:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore words")
        return network(tensors)

    monkeypatch.setattr(encoder, "_network", small)
    waveforms = [speechlike(length) for length in (800, 900, 1_000, 5_000, 400)]
    vectors = encoder._run(waveforms)
    assert sizes == [5, 2, 3, 1, 2]
    for waveform, vector in zip(waveforms, vectors, strict=True):
        assert np.abs(vector - network([torch.from_numpy(waveform)]).numpy()).max() < PARITY
    with pytest.raises(EncoderError, match=r"cpu: no memory for an utterance of 1\.9 s \(CUDA out of memory"):
        encoder._run([speechlike(30_000)])


def test_a_cpu_without_bf16_products_in_onednn_computes_them_in_another_way(
    tiny_model: Path, speechlike: Callable[..., Waveform], monkeypatch: pytest.MonkeyPatch
) -> None:
    can_pack = network_module._can_pack(torch.bfloat16)
    packed = load_encoder(str(tiny_model), device="cpu", precision="bf16").encode(speechlike(5_000))
    monkeypatch.setattr(network_module, "_can_pack", lambda dtype: False)
    plain = load_encoder(str(tiny_model), device="cpu", precision="bf16").encode(speechlike(5_000))
    difference = np.abs(packed - plain).max()
    assert difference < 0.3
    assert (difference > 0) == can_pack  # some CPUs have no other way than the plain one


@pytest.mark.parametrize(("precision", "error"), [("fp16", r"precision 'fp16' is not one of fp32, bf16")])
def test_a_precision_that_is_not_there_is_named(tiny_model: Path, precision: str, error: str) -> None:
    with pytest.raises(EncoderError, match=error):
        load_encoder(str(tiny_model), precision=precision)


def test_the_precision_belongs_to_the_spec(tiny_model: Path) -> None:
    spec, other = (load_encoder(str(tiny_model), device="cpu", precision=name).spec for name in ("fp32", "bf16"))
    assert (spec.precision, other.precision) == ("fp32", "bf16")
    assert spec.difference(other) == "precision 'fp32' and 'bf16'"


STATE_PROGRAM = """
import json, logging, os, random, sys
import numpy as np
import torch

def state():
    root = logging.getLogger()
    return {
        "random": repr(random.getstate()),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "handlers": [repr(handler) for handler in root.handlers],
        "level": root.level,
        "remembered": logging.getLogger("another").isEnabledFor(logging.INFO),
        "environment": dict(os.environ),
        "gradients": torch.is_grad_enabled(),
        "dtype": str(torch.get_default_dtype()),
    }

random.seed(1), np.random.seed(2), torch.manual_seed(3)
torch.set_num_threads(3)
logging.getLogger().setLevel(logging.ERROR)
before = state()
from emoji_lightning.embedding.encoder import load_encoder
encoder = load_encoder(sys.argv[1], device="cpu")
assert "funasr" not in sys.modules
loaded = state()
encoder.encode(np.sin(np.arange(8000, dtype=np.float32)))
list(encoder.encode_batch([np.sin(np.arange(length, dtype=np.float32)) for length in (8000, 800, 4000)]))
print(json.dumps({name: [before[name] == loaded[name], before[name] == now] for name, now in state().items()}))
"""


def test_loading_and_encoding_leave_the_process_as_it_was(tiny_model: Path, child_environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", STATE_PROGRAM, str(tiny_model)]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True, check=True, timeout=120)
    (line,) = done.stdout.splitlines()  # and nothing else is printed
    assert {name: same for name, same in json.loads(line).items() if same != [True, True]} == {}
    assert done.stderr == ""
