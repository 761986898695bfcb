"""How fast `embed` makes emotion2vec's vectors, against funasr's `generate` on the same waveforms in the same run.

    python benchmarks/extraction.py                     16 generated utterances of 2-10 s, random weights of full size
    python benchmarks/extraction.py AUDIO_FOLDER        16 files of a folder
    python benchmarks/extraction.py --device cuda       the same on a GPU, ours with an hour of audio

Every way runs in a process of its own, loaded once; each round runs all of them, one after another in shuffled order.
The ratio of a round is paired; medians over the rounds are printed, with the lowest and the highest. Speed: seconds of
audio per second, from waveforms in memory; then decoding from files alone, and the start until the first vector.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]
RATE = 16_000
CORES = len(os.sched_getaffinity(0))
HOUR_S = 3600.0


def ways(device: str) -> dict[str, dict[str, Any]]:
    """Return name -> which program, its options and environment."""
    if device != "cpu":
        return {
            "generate": {"program": "funasr"},
            "ours fp32": {"program": "ours", "precision": "fp32", "seconds": HOUR_S},
            "ours bf16": {"program": "ours", "precision": "bf16", "seconds": HOUR_S},
        }
    return {
        "generate": {"program": "funasr"},
        f"generate, ncpu={CORES}": {"program": "funasr", "ncpu": CORES},
        "generate, one core": {"program": "funasr", "ncpu": 1},
        "ours fp32": {"program": "ours", "precision": "fp32"},
        "ours fp32, one core": {"program": "ours", "precision": "fp32", "threads": 1},
        "ours bf16": {"program": "ours", "precision": "bf16"},
        "ours bf16, one core": {"program": "ours", "precision": "bf16", "threads": 1},
    }


# --- one process of one way ------------------------------------------------------------------------------------------


def serve(way: dict[str, Any], model: str, device: str, waveform_file: str) -> None:
    """Load, report the time until the first vector, then time all waveforms whenever a line comes in."""
    out = os.fdopen(os.dup(1), "w")  # funasr prints
    os.dup2(2, 1)
    with np.load(waveform_file) as stored:
        waveforms = [stored[name] for name in stored.files]
    run = _load_funasr(way, model, device) if way["program"] == "funasr" else _load_ours(way, model, device)
    first = run(waveforms[:1])
    print(json.dumps({"started": True, "dim": len(first[0])}), file=out, flush=True)
    seconds = sum(map(len, waveforms)) / RATE
    many = waveforms * max(1, round(way.get("seconds", 0) / seconds))
    run(many if device != "cpu" else waveforms[:2])
    for line in sys.stdin:
        if line.strip() == "run":
            start = perf_counter()
            vectors = run(many)
            speed = sum(map(len, many)) / RATE / (perf_counter() - start)
            answer = {"speed": speed, "vectors": np.stack(vectors[: len(waveforms)]).tolist()}
            answer["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            if device != "cpu":
                import torch

                answer["peak_gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
            print(json.dumps(answer), file=out, flush=True)


def _load_funasr(way: dict[str, Any], model: str, device: str) -> Callable[[Sequence[Waveform]], list[Waveform]]:
    from funasr import AutoModel

    options = {"ncpu": way["ncpu"]} if "ncpu" in way else {}
    loaded = AutoModel(model=model, disable_update=True, disable_pbar=True, device=device, **options)

    def run(waveforms: Sequence[Waveform]) -> list[Waveform]:
        found = []
        for waveform in waveforms:
            result = loaded.generate(waveform, granularity="utterance", extract_embedding=True, disable_pbar=True)
            found.append(np.asarray(result[0]["feats"]))
        return found

    return run


def _load_ours(way: dict[str, Any], model: str, device: str) -> Callable[[Sequence[Waveform]], list[Waveform]]:
    from emoji_lightning.embedding.encoder import load_encoder
    from emoji_lightning.embedding.planner import plan_batches

    encoder = load_encoder(model, device=device, precision=way["precision"])

    def run(waveforms: Sequence[Waveform]) -> list[Waveform]:
        found: list[Any] = [None] * len(waveforms)
        for batch in plan_batches([encoder.num_frames(len(each)) for each in waveforms], encoder.limits):
            for place, vector in encoder.encode_batch([waveforms[position] for position in batch]):
                found[batch[place]] = vector
        return found

    return run


# --- all of them -----------------------------------------------------------------------------------------------------


class Child:
    """A process of one way."""

    def __init__(self, way: dict[str, Any], model: str, device: str, waveforms: Path) -> None:
        environment = dict(os.environ)
        if "threads" in way:
            environment["OMP_NUM_THREADS"] = str(way["threads"])
        words = [sys.executable, __file__, "--serve", json.dumps(way), "--model", model, "--device", device]
        start = perf_counter()
        self._process = subprocess.Popen(
            [*words, "--waveforms", str(waveforms)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()
        self.start_s = perf_counter() - start

    def run(self) -> dict[str, Any]:
        """Time all waveforms."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended early: {self._process.args!r}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def compare(model: str, device: str, waveforms: Sequence[Waveform], repeats: int, scratch: Path) -> None:
    """Run all ways in rounds and print the table."""
    file = scratch / "waveforms.npz"
    np.savez(file, *waveforms)
    children = {name: Child(way, model, device, file) for name, way in ways(device).items()}
    rounds: list[dict[str, dict[str, Any]]] = []
    for number in range(repeats):
        order = list(children)
        random.Random(number).shuffle(order)
        rounds.append({name: children[name].run() for name in order})
    for child in children.values():
        child.close()
    reference = np.asarray(rounds[0]["generate"]["vectors"])
    spread = np.sqrt(np.mean((reference - reference.mean(axis=0)) ** 2))
    print(
        f"\n{sum(map(len, waveforms)) / RATE:.0f} s of audio in {len(waveforms)} utterances, {repeats} rounds, {device}"
    )
    print(
        f"{'way':<24}{'audio s/s':>10}{'x generate (low-high)':>26}{'peak GB':>9}{'max |diff|':>12}{'rms/spread':>12}"
    )
    for name in children:
        speed = median(each[name]["speed"] for each in rounds)
        ratios = sorted(each[name]["speed"] / each["generate"]["speed"] for each in rounds)
        last = rounds[-1][name]
        peak = last.get("peak_gpu_gb", last["peak_gb"])
        difference = np.asarray(last["vectors"]) - reference
        ratio = f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        error = np.sqrt(np.mean(difference**2)) / spread
        print(f"{name:<24}{speed:>10.1f}{ratio:>26}{peak:>9.2f}{np.abs(difference).max():>12.1e}{error:>12.1e}")
    if device != "cpu":
        return
    for precision in ("fp32", "bf16"):
        name = f"ours {precision}"
        for one, other in (
            (name, f"{name}, one core"),
            (name, f"generate, ncpu={CORES}"),
            (f"{name}, one core", "generate, one core"),
        ):
            ratio = median(each[one]["speed"] / each[other]["speed"] for each in rounds)
            print(f"{one} / {other}: {ratio:.2f}")


def compare_starts(model: str, device: str, waveforms: Sequence[Waveform], repeats: int, scratch: Path) -> None:
    """Print the seconds from the start of a process until its first vector."""
    file = scratch / "first.npz"
    np.savez(file, waveforms[0])
    chosen = {"generate": ways(device)["generate"], "ours fp32": ways(device)["ours fp32"]}
    found: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(repeats):
        for name, way in chosen.items():
            child = Child(way, model, device, file)
            found[name].append(child.start_s)
            child.close()
    ratio = median(ours / theirs for ours, theirs in zip(found["ours fp32"], found["generate"], strict=True))
    theirs, ours = (median(found[name]) for name in ("generate", "ours fp32"))
    print(f"until the first vector: generate {theirs:.1f} s, ours {ours:.1f} s, ratio {ratio:.2f}")


def decode(files: Sequence[Path]) -> None:
    """Print how fast files become waveforms, with as many threads as `embed` reads with."""
    from concurrent.futures import ThreadPoolExecutor

    from emoji_lightning.audio import load_waveform

    with ThreadPoolExecutor(min(16, CORES + 1)) as pool:
        list(pool.map(load_waveform, files))
        start = perf_counter()
        seconds = sum(len(waveform) for waveform in pool.map(load_waveform, files)) / RATE
    print(f"decoding {len(files)} files alone: {seconds / (perf_counter() - start):.0f} s of audio per second")


def products() -> None:
    """Print what a core reaches in the largest product of a block, 200 frames: the limit of any exact fp32 forward."""
    import torch

    torch.set_num_threads(1)
    x, weight, bias = torch.randn(200, 768), torch.randn(3072, 768), torch.randn(3072)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
    times = []
    for _ in range(50):
        start = perf_counter()
        torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        times.append(perf_counter() - start)
    print(f"oneDNN products in fp32, one core: {2 * 200 * 768 * 3072 / median(times) / 1e9:.0f} GFLOP/s")


def make_waveforms(count: int) -> list[Waveform]:
    rng = np.random.default_rng(0)
    found = []
    for length in rng.integers(2 * RATE, 10 * RATE, size=count):
        time = np.arange(length) / RATE
        voice = np.sin(2 * np.pi * (120 * time + 30 * np.sin(2 * time))) * (0.6 + 0.4 * np.sin(9 * time))
        found.append((0.2 * voice + 0.05 * rng.standard_normal(length)).astype(np.float32))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", nargs="?", type=Path, help="folder of audio files; generated audio if not given")
    parser.add_argument("--model", help="model folder or name; random weights of full size if not given")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--waveforms", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(json.loads(options.serve), options.model, options.device, options.waveforms)
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        files: list[Path] = []
        if options.audio:
            from emoji_lightning.audio import load_waveform
            from emoji_lightning.predictor import find_audio

            files = list(find_audio([options.audio]))
            waveforms = [load_waveform(file) for file in files[:: max(1, len(files) // options.files)][: options.files]]
        else:
            waveforms = make_waveforms(options.files)
        model = options.model
        if model is None:
            from random_model import build

            model = str(build(scratch / "model"))
        if files:
            decode(files)
        if options.device == "cpu":
            products()
        compare_starts(model, options.device, waveforms, options.repeats, scratch)
        compare(model, options.device, waveforms, options.repeats, scratch)


if __name__ == "__main__":
    main()
