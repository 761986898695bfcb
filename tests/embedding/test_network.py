"""Padded batches and single utterances give funasr's vectors, whatever stands beside them and however long they are."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_folder import WEIGHTS, read_weights
from numpy.typing import NDArray
from omegaconf import OmegaConf

from emoji_lightning.embedding import network as network_module
from emoji_lightning.embedding.architecture import Architecture
from emoji_lightning.embedding.network import Network

if find_spec("funasr") is None:
    pytest.skip("funasr is not installed (it is in the extra dev)", allow_module_level=True)

Waveform = NDArray[np.float32]
Generate = Callable[[Path, Waveform], Waveform]
MAX_DIFFERENCE, MAX_ANGLE = 5e-5, 1e-9
CPU = torch.device("cpu")
# 25 ms to 30 s, in samples; 719 is the last length with one frame, 720 the first with two.
LENGTHS = [400, 480_000, 719, 720, 16_000, 5_000, 48_000, 1_041, 160_000, 31_999]

pytestmark = pytest.mark.usefixtures("one_thread")


def build(folder: Path, dtype: torch.dtype = torch.float32, **changes: Any) -> Network:
    config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    architecture = Architecture.from_config(config["model_conf"])
    weights = {name: value for name, value in read_weights(folder).items() if name in architecture.shapes()}
    return Network(architecture, weights | changes, CPU, dtype)


def run(network: Network, waveforms: list[Waveform]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = network([torch.from_numpy(waveform) for waveform in waveforms]).numpy()
    return vectors


def angle(first: NDArray[Any], second: NDArray[Any]) -> float:
    """1 - cosine, in float64."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(1 - a @ b / np.sqrt((a @ a) * (b @ b)))


@pytest.fixture(scope="module")
def waveforms() -> list[Waveform]:
    """Noise and tones of another loudness and offset each: what leaks from a neighbour would show."""
    rng = np.random.default_rng(5)
    found = []
    for number, length in enumerate(LENGTHS):
        time = np.arange(length) / 16_000
        tone = np.sin(2 * np.pi * (120 + 40 * number) * time) * (1 + np.sin(3 * time))
        found.append(
            (0.02 * 3.0 ** (number % 5) * (tone + rng.standard_normal(length)) + 0.1 * number).astype(np.float32)
        )
    return found


@pytest.fixture(scope="module")
def expected(tiny_model: Path, generate: Generate, waveforms: list[Waveform]) -> NDArray[np.float32]:
    return np.stack([generate(tiny_model, waveform) for waveform in waveforms])


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_of_any_lengths_in_any_order_gives_funasr_s_vectors(
    tiny_model: Path, waveforms: list[Waveform], expected: NDArray[np.float32], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(waveforms))
    order = order if seed else order[:4]  # with and without the longest
    vectors = run(build(tiny_model), [waveforms[position] for position in order])
    assert np.abs(vectors - expected[order]).max() <= MAX_DIFFERENCE
    assert max(map(angle, vectors, expected[order])) <= MAX_ANGLE
    assert np.abs(expected - expected.mean(axis=0)).max() > 0.5  # vectors that differ, so that a leak can show


def test_each_utterance_alone_gives_funasr_s_vector(
    tiny_model: Path, waveforms: list[Waveform], expected: NDArray[np.float32]
) -> None:
    network = build(tiny_model)
    vectors = np.concatenate([run(network, [waveform]) for waveform in waveforms])
    assert np.abs(vectors - expected).max() <= MAX_DIFFERENCE
    assert max(map(angle, vectors, expected)) <= MAX_ANGLE


def test_weights_as_torch_draws_them_give_funasr_s_vectors(
    build_model: Callable[..., Path],
    tiny_model: Path,
    tmp_path: Path,
    generate: Generate,
    waveforms: list[Waveform],
) -> None:
    config = (tiny_model / "config.yaml").read_text(encoding="utf-8")
    folder = build_model(tmp_path / "plain", config, plain=True)
    expected = np.stack([generate(folder, waveform) for waveform in waveforms])
    assert np.abs(run(build(folder), waveforms) - expected).max() <= MAX_DIFFERENCE
    assert max(map(angle, run(build(folder), waveforms), expected)) <= MAX_ANGLE


@pytest.mark.parametrize("part", ["positions", "attention", "mean"])
def test_padding_that_leaks_anywhere_shows(
    tiny_model: Path, waveforms: list[Waveform], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The faults that the batches of others have; the bounds above must see each of them."""
    network = build(tiny_model)
    whole = run(network, waveforms[2:6])
    if part == "positions":
        real = Network._positions
        monkeypatch.setattr(Network, "_positions", lambda self, x, mask: real(self, x, None))
    if part == "attention":
        monkeypatch.setattr(
            network_module,
            "_Biases",
            lambda slopes, length, extra, mask, dtype, make=network_module._Biases: make(
                slopes, length, extra, None, dtype
            ),
        )
    if part == "mean":
        monkeypatch.setattr(Architecture, "num_frames", lambda self, samples: (max(LENGTHS[2:6]) - 400) // 320 + 1)
    leaking = run(network, waveforms[2:6])
    assert np.abs(leaking - whole).max() > 100 * MAX_DIFFERENCE


def test_an_utterance_alone_is_the_same_to_the_bit_whatever_was_before_it(
    tiny_model: Path, waveforms: list[Waveform]
) -> None:
    network = build(tiny_model)
    first = run(network, waveforms[4:5])
    for other in (0, 8, 3):
        run(network, waveforms[other : other + 1])
        assert np.array_equal(run(network, waveforms[4:5]), first)


def test_pieces_of_the_front_end_and_of_the_scores_change_next_to_nothing(
    tiny_model: Path, waveforms: list[Waveform], expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    for piece, scores in ((7, 1 << 22), (10_000, 1 << 12)):
        monkeypatch.setattr(network_module, "_PIECE", piece)
        monkeypatch.setattr(network_module, "_SCORES", scores)
        vectors = np.concatenate([run(build(tiny_model), [waveform]) for waveform in waveforms[3:7]])
        assert np.abs(vectors - expected[3:7]).max() <= MAX_DIFFERENCE


def test_every_weight_matters_to_the_vector(tiny_model: Path, waveforms: list[Waveform]) -> None:
    """Otherwise the parity tests could not see a part that is missing."""
    expected = run(build(tiny_model), waveforms[5:6])
    draw = torch.Generator().manual_seed(0)
    weights = {name: value for name, value in read_weights(tiny_model).items() if ".decoder." not in name}
    assert len(weights) > 40
    for name, weight in weights.items():
        changed = weight + 0.2 * torch.randn(weight.shape, generator=draw)
        assert np.abs(run(build(tiny_model, **{name: changed}), waveforms[5:6]) - expected).max() > 1e-3, name


def test_bf16_stays_within_its_own_bound(
    tiny_model: Path, waveforms: list[Waveform], expected: NDArray[np.float32]
) -> None:
    """A quarter of the spread between utterances here, where attention is sharpened on purpose; see the README."""
    network = build(tiny_model, torch.bfloat16)
    vectors = np.concatenate([run(network, [waveform]) for waveform in waveforms])
    spread = np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2))
    error = np.sqrt(np.mean((vectors - expected) ** 2))
    assert vectors.dtype == np.float32
    assert 0.001 < error / spread < 0.25
    assert max(map(angle, vectors, expected)) < 0.05


def test_plain_products_agree_with_packed_ones(
    tiny_model: Path, waveforms: list[Waveform], expected: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine without oneDNN, and a GPU, computes with."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    vectors = run(build(tiny_model), waveforms)
    assert np.abs(vectors - expected).max() <= MAX_DIFFERENCE


def test_the_weights_file_may_change_after_loading(tiny_model: Path, tmp_path: Path, waveforms: list[Waveform]) -> None:
    from model_folder import load

    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    encoder = load(folder)
    before = encoder.encode(waveforms[4])
    with (folder / WEIGHTS).open("r+b") as file:
        file.write(b"\0" * (folder / WEIGHTS).stat().st_size)
    assert np.array_equal(encoder.encode(waveforms[4]), before)
