"""Pickles that want to run something, or to take all memory or time; each is put into a checkpoint's archive."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from broken_files import archived, good

OTHER = "2"
"""A storage that no weight refers to; torch takes a storage for what its first reference says."""


class Calling:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


class Storage:
    """Pickles as a reference to bytes of the archive."""

    def __init__(self, numel: int, key: str = "0", kind: Any = torch.FloatStorage, location: str = "cpu") -> None:
        self.reference = ("storage", kind, key, location, numel)


class ArchivePickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return obj.reference if isinstance(obj, Storage) else None


def pickled(content: object) -> bytes:
    """Return the pickle that torch.save would write."""
    buffer = io.BytesIO()
    ArchivePickler(buffer, protocol=2).dump(content)
    return buffer.getvalue()


def tensor(storage: Storage, size: Any, stride: Any, offset: int = 0) -> Calling:
    return Calling(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())


def with_structure(structure: bytes) -> bytes:
    return archived(lambda _: structure)


def with_content(**more: Any) -> bytes:
    """Return a good checkpoint's archive with more in its pickle; its own weights are small tensors of storage 0."""
    weights = {
        "net.0.weight": tensor(Storage(40), (5, 8), (8, 1)),
        "net.3.weight": tensor(Storage(40), (5, 5), (5, 1)),
        "net.6.weight": tensor(Storage(40), (3, 5), (5, 1)),
    }
    return with_structure(pickled({"state_dict": weights, "labels": ["a", "b", "c"], **more}))


def unicode(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def running(command: str) -> dict[str, bytes]:
    """Return pickles that run a shell command, one way each, at protocol 2 and with instructions by hand."""
    say = unicode(command)
    return {
        "GLOBAL": b"\x80\x02cposix\nsystem\n" + say + b"\x85R.",
        "GLOBAL of Python 2": b"\x80\x02c__builtin__\neval\n"
        + unicode(f"__import__('os').system({command!r})")
        + b"\x85R.",
        "STACK_GLOBAL": b"\x80\x04" + unicode("posix") + unicode("system") + b"\x93" + say + b"\x85R.",
        "STACK_GLOBAL of a memo": b"\x80\x04" + unicode("os") + b"\x94" + unicode("system") + b"\x93" + say + b"\x85R.",
        "INST": b"(" + say + b"ios\nsystem\n.",
        "OBJ": b"(cos\nsystem\n" + say + b"o.",
        "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(" + say + b"NNNNNNI01\nt\x81.",
        "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n" + say + b"\x85}" + unicode("shell") + b"\x88s\x92.",
        "BUILD": b"\x80\x02ccollections\nOrderedDict\n)R}" + unicode("__setstate__") + b"cos\nsystem\nsb" + say + b"b.",
        "a dotted name": b"\x80\x04ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        "getattr": b"\x80\x02c__builtin__\ngetattr\ncos\nsystem\n" + unicode("__call__") + b"\x86R" + say + b"\x85R.",
        "an allowed function's module": b"\x80\x02ctorch._utils\nos.system\n" + say + b"\x85R.",
        "protocol 0": b"cos\nsystem\n(V" + command.encode() + b"\ntR.",
        "EXT1": b"\x80\x02\x82\x01" + say + b"\x85R.",
        "behind a damaged instruction": b"\x80\x02cos\nsystem\n" + say + b"\x85R\xff.",
        "behind a stack that is empty": b"\x80\x02cos\nsystem\n0000" + say + b"\x85R.",
    }


def deep_tuple(depth: int) -> bytes:
    return b"\x80\x02}" + b")" + b"\x85" * depth + b"Ns."


def doubled_tuple(levels: int) -> bytes:
    """A key that is 2 ** levels tuples to those who look at each."""
    return b"\x80\x02})" + b"q\x00h\x00\x86" * levels + b"Ns."


def copies(function: str, argument: bytes, number: int) -> bytes:
    """Ask for many copies of one thing."""
    return b"\x80\x02]" + argument + b"q\x01(" + (f"c{function}\n".encode() + b"h\x01\x85R") * number + b"e."


def same_hash(number: int) -> bytes:
    """A dict whose keys share a hash: each is looked at for each."""
    keys = (b"\x8a\x12" + (count * (2**61 - 1) << 64).to_bytes(18, "little") for count in range(1, number))
    return b"\x80\x02}(" + b"".join(key + b"N" for key in keys) + b"u."


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value, value]
    return value


def wide(*size: int) -> Calling:
    """A tensor of any size in the bytes of one number."""
    return tensor(Storage(40), size, (0, 0))


def wide_head(width: int) -> dict[str, Any]:
    return {"a.weight": wide(width, width), "b.weight": wide(3, width), "labels": ["a", "b", "c"]}


def bombs() -> dict[str, Callable[[], bytes]]:
    """Return checkpoints that ask for more memory or time than there is, or for bytes outside the file."""
    text = unicode("x" * 500_000)
    return {
        "a bytearray of 16 GB": lambda: with_content(extra=Calling(bytearray, 1 << 34)),
        "a thousand bytearrays": lambda: with_structure(copies("__builtin__\nbytearray", b"J\xff\xff\xff\x00", 1000)),
        "copies of a text": lambda: with_structure(copies("_codecs\nencode", text, 10_000)),
        "copies of a list": lambda: with_structure(copies("__builtin__\nset", b"](" + b"K\x01" * 500_000 + b"e", 9000)),
        "copies of a dict": lambda: with_structure(
            copies("collections\nOrderedDict", pickle.dumps({n: n for n in range(20_000)}, 2)[2:-1], 9000)
        ),
        "tuples, deep": lambda: with_structure(deep_tuple(900_000)),
        "lists, deep": lambda: with_structure(b"\x80\x02" + b"]" * 400_000 + b"a" * 399_999 + b"."),
        "tuples, doubled": lambda: with_structure(doubled_tuple(64)),
        "lists, doubled": lambda: with_content(label_names=nested(60)),
        "keys with one hash": lambda: with_structure(same_hash(100_000)),
        "a million lists": lambda: with_structure(b"\x80\x02" + b"]" * 5_000_000 + b"."),
        "a number of a million digits": lambda: with_content(epoch=10**1_000_000, temperature=10**1_000_000),
        "a key of ten thousand digits": lambda: with_content(labels={10**10_000: "a", 1: "b", 2: "c"}),
        "a shape of stride 0": lambda: with_content(feature_mean=tensor(Storage(25, OTHER), (1 << 45,), (0,))),
        "weights of stride 0": lambda: with_content(ema={"a.weight": wide(1 << 30, 1 << 30)}),
        "a head of stride 0": lambda: with_structure(pickled(wide_head(1 << 20))),
        "a temperature of stride 0": lambda: with_content(temperature=tensor(Storage(25, OTHER), (1 << 45,), (0,))),
        "a size of 2**62": lambda: with_content(mean=tensor(Storage(25, OTHER), (1 << 62, 1 << 62), (1, 1))),
        "a size below 0": lambda: with_content(mean=tensor(Storage(25, OTHER), (-8,), (1,))),
        "an offset below 0": lambda: with_content(mean=tensor(Storage(25, OTHER), (8,), (1,), offset=-4000)),
        "an offset beyond": lambda: with_content(mean=tensor(Storage(25, OTHER), (8,), (1,), offset=1 << 40)),
        "a stride beyond": lambda: with_content(mean=tensor(Storage(25, OTHER), (8,), (1 << 40,))),
        "a storage of 4 GB": lambda: with_content(mean=tensor(Storage(1 << 30, OTHER), (1 << 30,), (1,))),
        "a storage of 2**61": lambda: with_content(mean=tensor(Storage(1 << 61, OTHER), (8,), (1,))),
        "a storage below 0": lambda: with_content(mean=tensor(Storage(-1, OTHER), (8,), (1,))),
        "a storage of text": lambda: with_content(mean=tensor(Storage("5", OTHER), (8,), (1,))),  # type: ignore[arg-type]
        "no such storage": lambda: with_content(mean=tensor(Storage(40, "99"), (8,), (1,))),
        "a storage outside": lambda: with_content(mean=tensor(Storage(40, "../../../../etc/passwd"), (8,), (1,))),
        "a storage elsewhere": lambda: with_content(mean=tensor(Storage(25, OTHER, location="meta"), (8,), (1,))),
        "a storage of 2 kinds": lambda: with_content(mean=tensor(Storage(25, OTHER, torch.DoubleStorage), (8,), (1,))),
        "no tensor at all": lambda: with_content(mean=Calling(torch._utils._rebuild_tensor_v2)),
        "a sparse tensor": lambda: with_content(mean=Calling(torch._utils._rebuild_sparse_tensor, 1, ())),
        "a tensor class": lambda: with_content(mean=Calling(torch.FloatTensor, 1 << 40)),
        "a storage class": lambda: with_content(mean=Calling(torch.UntypedStorage, 1 << 40)),
        "a parameter of nothing": lambda: with_content(mean=Calling(torch._utils._rebuild_parameter, None, True, None)),
        "a zip bomb": lambda: archived(content=good() | {"x": "0" * 200_000_000}, compression=zipfile.ZIP_DEFLATED),
        "a million entries": lambda: archived() [:-22] + b"PK\x01\x02" * 1_000_000 + archived()[-22:],
        "entries that overlap": overlapping,
        "an absurd memo": lambda: with_structure(b"\x80\x02Nr\xff\xff\xff\xff."),
    }  # fmt: skip


def overlapping() -> bytes:
    """Two entries of the directory name the same bytes."""
    content = archived()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        first, second, start = archive.infolist()[1], archive.infolist()[2], archive.start_dir
    place = content.index(second.filename.encode(), start) - 4
    assert content[place : place + 4] == struct.pack("<I", second.header_offset)
    return content[:place] + struct.pack("<I", first.header_offset) + content[place + 4 :]
