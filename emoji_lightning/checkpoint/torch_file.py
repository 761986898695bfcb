"""A file of torch.save -> the plain data in it; its archive and its structure are checked before torch sees them."""

import mmap
import shlex
import warnings
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from emoji_lightning.checkpoint.pickled import UnknownObjectsError, check_pickle, name_objects
from emoji_lightning.errors import CheckpointError

MAX_PICKLE_BYTES = 8 << 20
"""Bound of the pickled structure without the tensors, and of JSON: far above any head's."""
MAX_ENTRIES = 10_000
EXPECTED = "expected a checkpoint of torch.save (zip format), a .safetensors file, or a folder with one"
AGAIN = "copy or export it again"
SAVE_ANEW = "in the program that wrote it save model.state_dict() and the labels with torch.save, where you trust it"
MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
"""The first pickle of a file of torch.save before PyTorch 1.6 is this number."""


def load_torch(file: Path) -> dict[Any, Any]:
    """Read a file of torch.save with weights_only=True.

    Raises:
        CheckpointError: It is damaged, of another kind, or holds more than plain data; then the objects that it wants
            to build are named.
    """
    try:
        _check_archive(file)
        with warnings.catch_warnings(action="ignore"):
            # Mapped, because then a storage that claims more bytes than the file has is refused instead of read.
            data = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError:  # its text tells how to switch weights_only off
        raise CheckpointError(f"{file}: is damaged, or more than tensors and plain data; {AGAIN}") from None
    except UnknownObjectsError as error:
        raise CheckpointError(f"{file}: {_describe_wanted(error.wanted)}") from None
    except CheckpointError as error:
        cure = AGAIN if "damaged" in str(error) else "save weights and labels alone with torch.save"
        raise CheckpointError(f"{file}: {error}; {cure}") from None
    except Exception as error:  # what damaged bytes lead to can be any
        raise CheckpointError(f"{file}: is damaged ({first_line(error)}); {AGAIN}") from error
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{file}: holds a {type(data).__name__}; expected a state dict, or a dict with one in it; "
            "save model.state_dict() with the labels"
        )
    content: dict[Any, Any] = data  # its own kind of dict, which `export --like` writes again
    return content


def describe_start(file: Path, start: bytes) -> str:
    """Return in words what a file is that is neither a zip file nor safetensors."""
    if not start:
        return f"0 bytes; {EXPECTED}; {AGAIN}"
    with file.open("rb") as opened:
        data = opened.read(MAX_PICKLE_BYTES)
    if data[257:262] == b"ustar":
        return f"a tar file, as the first versions of torch.save wrote; {EXPECTED}; {SAVE_ANEW}"
    if start[:1] != b"\x80":
        return f"starts with {start[:4]!r}; {EXPECTED}"
    return _describe_old(file, data) if MAGIC in data[:32] else _describe_pickle(data)


def _describe_old(file: Path, data: bytes) -> str:
    what = "a file of torch.save before PyTorch 1.6"
    # a magic number, a version, sizes of C's types, and what was saved
    wanted, seen_all = name_objects(data, num_pickles=4)
    if wanted:
        return f"{what} that {_describe_wanted(wanted)}"
    if not seen_all:
        return f"{what}; expected its zip format; {SAVE_ANEW}"
    line = "import sys, torch; torch.save(torch.load(sys.argv[1], weights_only=True), sys.argv[2])"
    names = shlex.join([str(file), str(file.with_name(f"new-{file.name}"))])
    return f'{what}; expected its zip format: write it anew with `python -c "{line}" {names}`'


def _describe_pickle(data: bytes) -> str:
    wanted, _ = name_objects(data, num_pickles=1)
    wants = f", it wants to build {_list_names(wanted)}, and nothing in a file is executed" if wanted else ""
    return f"a pickle that torch.save did not write{wants}; {EXPECTED}; {SAVE_ANEW}"


def _check_archive(file: Path) -> None:
    """Check the shape that torch.save gives to an archive, its checksums, and what its structure asks for."""
    if _count_entries(file) > MAX_ENTRIES:
        raise CheckpointError(f"a zip file with more than {MAX_ENTRIES:,} entries")
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            pickled = _check_entries(entries)
            damaged = archive.testzip()
            if damaged:
                raise CheckpointError(f"a damaged zip file: the bytes of {damaged} are not those that were written")
            structure = archive.read(pickled)
    except CheckpointError:
        raise
    except Exception as error:  # zipfile lets struct.error, UnicodeDecodeError and others through
        raise CheckpointError(f"a cut off or damaged zip file ({first_line(error)})") from error
    sizes = {entry.filename: entry.file_size for entry in entries}
    for key, claimed in check_pickle(structure).items():
        found = sizes.get(pickled.filename.removesuffix("data.pkl") + f"data/{key}")
        if found is None or claimed > found:
            held = "is not in it" if found is None else f"has {found:,} bytes, its structure says {claimed:,}"
            raise CheckpointError(f"a damaged file: the storage {key[:100]!r} {held}")


def _count_entries(file: Path) -> int:
    """Count directory entries before zipfile makes an object of each."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as view:
        number, place = 0, view.find(b"PK\x01\x02")
        while place >= 0 and number <= MAX_ENTRIES:
            number, place = number + 1, view.find(b"PK\x01\x02", place + 4)
    return number


def _check_entries(entries: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """Refuse an archive of another program, or one that two programs may understand differently; return the pickle."""
    names = [entry.filename.lower() for entry in entries]
    pickles = [entry for entry, name in zip(entries, names, strict=True) if name.rpartition("/")[2] == "data.pkl"]
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError("a TorchScript program; save the model's state_dict() with torch.save")
    if len(pickles) != 1:
        raise CheckpointError(
            f"a zip file with {len(pickles)} data.pkl ({', '.join(names[:3]) or 'empty'}); {EXPECTED}"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise CheckpointError("holds compressed or encrypted entries, which torch.save does not write")
    if pickles[0].file_size > MAX_PICKLE_BYTES:
        size = f"{pickles[0].file_size:,} bytes"
        raise CheckpointError(f"{size} of structure beside its tensors; at most {MAX_PICKLE_BYTES:,} are read")
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    apart = all(_end(before) <= after.header_offset for before, after in pairwise(ordered))
    if ordered[0].header_offset != 0 or not apart or len(set(names)) < len(names):
        raise CheckpointError("a damaged zip file: its entries overlap, stand twice, or do not begin at its start")
    if len({name.partition("/")[0] for name in names}) != 1 or any(".." in name.split("/") for name in names):
        raise CheckpointError("a zip file whose entries are not in one folder, as torch.save writes them")
    return pickles[0]


def _end(entry: zipfile.ZipInfo) -> int:
    """Return a place that the entry reaches at least; a header has 30 bytes, and a name of unknown encoding."""
    return entry.header_offset + 30 + entry.compress_size


def _describe_wanted(wanted: Sequence[str]) -> str:
    return (
        f"wants to build {_list_names(wanted)}. Only tensors and plain data are read (weights_only=True), and nothing "
        f"in a file is executed; {_cure(wanted)}, where you trust it"
    )


def _list_names(names: Sequence[str]) -> str:
    shown = ", ".join(name[:200] for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _cure(wanted: Sequence[str]) -> str:
    if "argparse.Namespace" in wanted:
        return "save vars(args) in place of args"
    if any(name.startswith(("numpy", "_codecs")) for name in wanted):
        return "save numpy numbers as float(...) and arrays as torch tensors"
    if any(name.startswith("pathlib") for name in wanted):
        return "save paths as text"
    if any(name.startswith(("torch.nn.", "__main__.")) for name in wanted):
        return "it may be a whole pickled module: save model.state_dict() and the labels"
    if any(name.startswith("torch.") for name in wanted):
        return "save plain dicts and dense tensors of torch.float32 (tensor.dequantize(), tensor.to_dense(), .float())"
    return "save plain dicts, lists, text and tensors"


def first_line(error: Exception) -> str:
    """Return the first line of an error of others, or its name."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
