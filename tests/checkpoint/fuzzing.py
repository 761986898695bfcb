"""Changes checkpoints at random and reads them, in a process of its own: `python fuzzing.py SEEDS FOLDER`.

FOLDER/base holds a folder per checkpoint that is right. Every failure is printed as a line with its seed; the seed of
the change that is being read stands in FOLDER/seed, for a process that does not come back.
"""

import io
import json
import pickletools
import random
import resource
import shutil
import signal
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

MAX_MB, MAX_S = 300.0, 60
Change = Callable[[random.Random, bytes], bytes]


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """Flip, cut, insert, repeat or exchange bytes."""
    mutable = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.randrange(len(mutable) + 1)
        stop = min(len(mutable), start + rng.choice((1, 2, 4, 8, 64, 500)))
        kind = rng.randrange(7)
        if kind == 0 and start < len(mutable):
            mutable[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutable[start:stop] = rng.randbytes(stop - start)
        elif kind == 2:
            del mutable[start:stop]
        elif kind == 3:
            mutable[start:start] = rng.randbytes(stop - start)
        elif kind == 4:
            mutable[start:stop] = rng.choice((b"\0", b"\xff", b"\x7f")) * (stop - start)
        elif kind == 5:
            other = rng.randrange(len(mutable) + 1)
            mutable[start:stop], mutable[other : other + stop - start] = (
                mutable[other : other + stop - start],
                mutable[start:stop],
            )
        else:
            del mutable[start if rng.random() < 0.3 else max(start, len(mutable) - 100) :]
    return bytes(mutable)


def change_pickle(rng: random.Random, content: bytes) -> bytes:
    """Delete, repeat, exchange or alter instructions of a pickle."""
    places = [place for _, _, place in pickletools.genops(content)] + [len(content)]
    steps = [content[start:stop] for start, stop in pairwise(places)]
    for _ in range(rng.choice((1, 1, 2, 5))):
        one, other = rng.randrange(1, len(steps)), rng.randrange(1, len(steps))
        kind = rng.randrange(6)
        if kind == 0:
            del steps[one]
        elif kind == 1:
            steps.insert(one, steps[other])
        elif kind == 2:
            steps[one], steps[other] = steps[other], steps[one]
        elif kind == 3:
            steps[one] = rng.choice(INSTRUCTIONS)
        elif kind == 4:
            steps.insert(one, rng.choice(INSTRUCTIONS))
        else:
            steps[one] = steps[one][:1] + rng.randbytes(len(steps[one]) - 1)
        if len(steps) < 3:
            break
    return b"".join(steps)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


INSTRUCTIONS = [
    *(bytes([code]) for code in b")]}N\x88\x89\x85\x86\x87(tauesRbQ.0120\x81\x93o"),
    *(b"J" + struct.pack("<i", number) for number in (-1, 0, 3, 8, 1 << 30, -(1 << 31))),
    *(b"K" + bytes([number]) for number in (0, 1, 5, 8, 255)),
    *(b"h" + bytes([number]) for number in range(0, 60, 7)),
    *(b"G" + struct.pack(">d", number) for number in (0.0, -1.0, float("nan"), float("inf"), 1e300)),
    *map(_text, ("", "labels", "state_dict", "net.0.weight", "temperature", "\ud800", "0", "storage", "x" * 3000)),
    *(b"c" + name + b"\n" for name in (b"torch\nFloatStorage", b"torch\nDoubleStorage", b"collections\nOrderedDict")),
    *(b"c" + name + b"\n" for name in (b"torch._utils\n_rebuild_tensor_v2", b"builtins\nset", b"os\nsystem")),
    b"\x8a\x09" + b"\xff" * 8 + b"\x7f",
]  # fmt: skip


def change_archive(rng: random.Random, content: bytes) -> bytes:
    """Change an entry of a zip file, its checksum right; or its name, or leave it out."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    pickled = next(number for number, (name, _) in enumerate(entries) if name.endswith("data.pkl"))
    chosen = pickled if rng.random() < 0.7 else rng.randrange(len(entries))
    name, old = entries[chosen]
    kind = rng.randrange(10)
    if kind == 0:
        del entries[chosen]
    elif kind == 1:
        entries[chosen] = change_bytes(rng, name.encode()).decode("ascii", "replace").replace("\0", "0"), old
    elif kind == 2:
        entries.insert(rng.randrange(len(entries)), (name, old))
    else:
        entries[chosen] = name, (change_pickle if chosen == pickled and kind < 9 else change_bytes)(rng, old)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, entry in entries:
            archive.writestr(name or "0", entry)
    return buffer.getvalue()


ODD: list[Any] = [
    None, True, -1, 0, 1, 3, 5, 8, 2**31, 2**63, 10**30, 0.5, float("nan"), float("inf"), -0.0, "", "a", "0",
    "relu", "\ud800", "😭", "x" * 2000, [], {}, [1.0], [0.0] * 8, [1.0] * 8, [0] * 8, ["a", "b", "c"], ["a", "a",
    "b"], {"a": 0, "b": 1, "c": 2}, {0: "a", 1: "b", 2: "c"}, {"0": "1", "1": "2", "2": "0"}, [[]], {"weight": 1},
    {"a.weight": [1]},
]  # fmt: skip
KEYS = (
    "labels", "label2id", "id2label", "temperature", "feature_mean", "feature_scale", "mean", "std", "var",
    "config", "dropout", "activation", "encoder", "input_dim", "hidden_dim", "num_labels", "format_version",
    "net.0.weight", "fc1.weight", "ln1.bias", "bn1.running_var", "bn1.num_batches_tracked", "weight", "bias",
    "0.weight", "00.weight", "net.99999999999999999999.weight", "²", "loss.weight", "optimizer", "hyper_parameters",
    "__metadata__", "standardize", 0, -1, 2**70, 1.5, None, (1, (2,)), b"x",
)  # fmt: skip


def odd_value(rng: random.Random) -> Any:
    import torch

    if rng.random() < 0.6:
        return rng.choice(ODD)
    shape = rng.choice([(), (1,), (3,), (5,), (8,), (0,), (5, 8), (5, 5), (3, 5), (8, 5), (1, 8), (5, 0), (2, 5, 8)])
    types = (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.int64,
        torch.int8,
        torch.bool,
        torch.complex64,
        torch.bfloat16,
    )
    tensor = torch.ones(shape).to(rng.choice(types))
    if rng.random() < 0.2:
        return tensor.expand(rng.choice([(4, *shape), (1 << 20, *shape)]))
    return torch.nn.Parameter(tensor) if tensor.is_floating_point() and rng.random() < 0.2 else tensor


def change_values(rng: random.Random, content: bytes) -> bytes:
    """Change, add, rename or remove what a checkpoint's dicts hold."""
    import torch

    data = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(rng.choice((1, 1, 2, 3))):
        mapping: Any = data
        while isinstance(mapping, dict) and rng.random() < 0.6:
            inner = [value for value in mapping.values() if isinstance(value, dict) and value]
            if not inner:
                break
            mapping = rng.choice(inner)
        key = rng.choice(list(mapping) or ["x"])
        kind = rng.randrange(5)
        if kind == 0:
            mapping.pop(key, None)
        elif kind == 1:
            mapping[rng.choice(KEYS)] = mapping.pop(key, None)
        elif kind == 2:
            mapping[rng.choice(KEYS)] = odd_value(rng)
        elif kind == 3:
            mapping[key] = rng.choice((data, mapping, [data], odd_value(rng)))
        else:
            mapping[key] = odd_value(rng)
    buffer = io.BytesIO()
    torch.save(data, buffer)
    return buffer.getvalue()


def change_header(rng: random.Random, content: bytes) -> bytes:
    """Change the JSON of a safetensors file, its length right."""
    length = int.from_bytes(content[:8], "little")
    header: Any = json.loads(content[8 : 8 + length])
    if rng.random() < 0.2:
        text = change_bytes(rng, content[8 : 8 + length])
    else:
        name = rng.choice(list(header))
        entry, odd = (
            header[name],
            rng.choice([*ODD[:6], *ODD[8:19], "F64", "I64", "BF16", "F8_E4M3", [5, 8], [8, 5], [0, 0]]),
        )
        if rng.random() < 0.3:
            header[rng.choice([key for key in KEYS if isinstance(key, str)])] = header.pop(name)
        elif isinstance(entry, dict) and entry:
            entry[rng.choice(list(entry))] = odd
        else:
            header[name] = odd
        text = json.dumps(header, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def change_of(rng: random.Random, file: Path) -> Change:
    if file.suffix == ".json":
        return change_bytes
    if file.suffix == ".safetensors":
        return rng.choice((change_bytes, change_header, change_header))
    return rng.choice((change_bytes, change_archive, change_archive, change_values, change_values, change_values))


def write_changed(seed: int, folder: Path) -> Path:
    """Write a folder with one file of one checkpoint changed; return it."""
    rng = random.Random(seed)
    base = rng.choice(sorted((folder / "base").iterdir()))
    changed = folder / "changed"
    shutil.rmtree(changed, ignore_errors=True)
    shutil.copytree(base, changed)
    file = rng.choice(sorted(changed.iterdir()))
    file.write_bytes(change_of(rng, file)(rng, file.read_bytes()))
    return changed


def describe_fault(folder: Path) -> str | None:
    """Read a folder and return what is wrong with the outcome."""
    import torch

    from emoji_lightning.checkpoint.stored_head import read_head
    from emoji_lightning.errors import CheckpointError, LabelError

    try:
        head = read_head(folder)
        logits = head.build()(torch.zeros(2, head.architecture.input_dim))
        return None if logits.shape == (2, len(head.label_set)) else f"logits {tuple(logits.shape)}"
    except (CheckpointError, LabelError) as error:
        message = str(error)
        is_good = str(folder) in message and len(message) < 4000 and "weights_only=False" not in message
        return None if is_good else f"message: {message[:500]}"
    except Exception as error:
        import traceback

        return f"{type(error).__name__}: {str(error)[:300]} {traceback.format_exc().splitlines()[-6:]}"


def main() -> None:
    import torch

    first, last, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(first, last):
        (folder / "seed").write_text(str(seed), encoding="utf-8")
        changed = write_changed(seed, folder)
        signal.alarm(MAX_S)  # ends the process
        fault = describe_fault(changed)
        signal.alarm(0)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        if grown > MAX_MB:
            before, fault = before + int(1024 * grown), f"memory grew by {grown:.0f} MB"
        if fault:
            print(json.dumps([seed, fault]), flush=True)


if __name__ == "__main__":
    main()
