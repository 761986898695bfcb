"""A file that cannot be read as a checkpoint is refused with what was found, what was expected, and the cure."""

import argparse
import json
import os
import socket
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from broken_files import (
    Write,
    archived,
    fc_state,
    good,
    having,
    raw,
    safetensors,
    saved,
    weights,
)
from layout_parts import DIMS, label2id
from safetensors.torch import save
from their_modules import sequential
from torch import nn

from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.errors import CheckpointError

Cases = dict[str, tuple[Write, str]]


def truncated(folder: Path) -> Path:
    path = saved(good())(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def flipped(folder: Path) -> Path:
    """A byte of a weight is another: torch.load does not see it."""
    path = saved(good())(folder)
    content = bytearray(path.read_bytes())
    content[content.index(good()["state_dict"]["net.0.weight"].numpy().tobytes()) + 7] ^= 0x40
    path.write_bytes(content)
    return path


def sparse(folder: Path) -> Path:
    with (folder / "head.pt").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(5 << 30)
    return folder / "head.pt"


def two_checkpoints(folder: Path) -> Path:
    for name in ("epoch1.ckpt", "epoch2.ckpt"):
        saved(good(), name)(folder)
    return folder


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "head.pt")
    return folder / "head.pt"


def bound_socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(folder / "s"))
    return folder / "s"


def legacy(folder: Path) -> Path:
    torch.save(good(), folder / "head.pt", _use_new_zipfile_serialization=False)
    return folder / "head.pt"


def protocol_4(folder: Path) -> Path:
    torch.save(good(), folder / "head.pt", pickle_protocol=4)
    return folder / "head.pt"


def torchscript(folder: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):  # as above
        program: Any = torch.jit.trace(sequential(DIMS).eval(), torch.randn(2, 8))
    program.save(str(folder / "head.pt"))
    return folder / "head.pt"


def quantised(folder: Path) -> Path:
    with warnings.catch_warnings(action="ignore"):  # it is deprecated, and in people's files
        tensor = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
        return weights(lambda state: state.update(q=tensor))(folder)


def compressed(folder: Path) -> Path:
    (folder / "head.pt").write_bytes(archived(compression=zipfile.ZIP_DEFLATED))
    return folder / "head.pt"


def other_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "head.pt", "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    return folder / "head.pt"


FILES: Cases = {
    "missing": (lambda folder: folder / "head.pt", "no such file; `emoji-lightning export` writes"),
    "missing folder": (lambda folder: folder / "no" / "head.pt", "no such file"),
    "name too long": (lambda folder: folder / ("n" * 300), "cannot be read"),
    "0 bytes": (raw(b""), "0 bytes; expected a checkpoint of torch.save.* copy or export it again"),
    "text": (raw(b"hello, this is no checkpoint"), "starts with b'hell'; expected a checkpoint of torch.save"),
    "four bytes": (raw(b"PK\x03\x04"), "cut off or damaged zip file"),
    "truncated": (truncated, "cut off or damaged zip file .*; copy or export it again"),
    "a flipped byte": (flipped, "the bytes of head/data/0 are not those that were written; copy or export it again"),
    "5 GB": (sparse, r"5,368,709,120 bytes; expected a head alone, at most 1,073,741,824"),
    "empty folder": (lambda folder: folder, r"folder with 0 checkpoints \(none\); expected best_classifier.pt"),
    "two checkpoints": (two_checkpoints, r"2 checkpoints \(epoch1.ckpt, epoch2.ckpt\).* name the file that is meant"),
    "a pipe": (fifo, "is no regular file; expected a checkpoint"),
    "a socket": (bound_socket, "is no regular file; expected a checkpoint"),
    "legacy": (legacy, "a file of torch.save before PyTorch 1.6; expected its zip format: write it anew with"),
    "protocol 4": (protocol_4, "pickle protocol 4; expected 2, torch.save's own"),
    "TorchScript": (torchscript, r"a TorchScript program; save the model's state_dict\(\) with torch.save"),
    "compressed": (compressed, "compressed or encrypted entries, which torch.save does not write"),
    "another zip": (other_zip, r"a zip file with 0 data.pkl \(word/document.xml\); expected a checkpoint"),
    "two data.pkl": (raw(archived(more={"archive/DATA.PKL": b"x"})), "a zip file with 2 data.pkl"),
    "two folders": (raw(archived(more={"other/file": b"x"})), "entries are not in one folder"),
    "a path upwards": (raw(archived(more={"archive/../../x": b"x"})), "entries are not in one folder"),
    "something before it": (raw(b"PK\x03\x04" + archived()), "do not begin at its start"),
    "a huge structure": (
        saved({"state_dict": fc_state(), "labels": ["x" * 9_000_000]}),
        r"9,\d+,\d+ bytes of structure beside its tensors; at most 8,388,608 are read",
    ),
    "not a dict": (saved([torch.ones(2, 2)]), "holds a list; expected a state dict, or a dict with one in it; save"),
    "a tensor": (saved(torch.ones(2, 2)), "holds a Tensor; expected a state dict"),
    "nothing in it": (saved({}), "no weights of Linear layers in it, found nothing; expected a state dict"),
    "no weights": (saved({"epoch": 3, 4: "x"}), "no weights of Linear layers in it, found 4, epoch; expected"),
}


def damaged_safetensors() -> bytes:
    return save(fc_state(), {"labels": json.dumps(list(label2id()))})


SQUARE = ("fc1.weight", "fc2.weight", "norm.weight", "norm.bias")
TENSOR = {"dtype": "F32", "shape": [5, 8], "data_offsets": [0, 160]}
SAFETENSORS: Cases = {
    "cut off": (raw(damaged_safetensors()[:-9]), "a damaged safetensors file .*; copy or export it again"),
    "no JSON": (raw(safetensors(b"{not json}")), "a damaged safetensors file"),
    "a long header": (raw((1 << 40).to_bytes(8, "little") + b"{}" * 9), "a header of 1,099,511,627,776 bytes, at most"),
    "beyond its end": (raw(safetensors({"fc1.weight": TENSOR}, b"x" * 8)), "a damaged safetensors file"),
    "a tensor twice": (
        raw(safetensors(f'{{"w": {json.dumps(TENSOR)}, "w": {json.dumps(TENSOR)}}}'.encode(), b"x" * 160)),
        "key 'w' stands twice",
    ),
    "a label twice": (
        raw(save(fc_state(), {"label2id": '{"a": 0, "b": 1, "c": 2, "a": 2}'})),
        "label2id in its metadata: key 'a' stands twice",
    ),
    "no labels": (raw(save(fc_state())), "3 logits and no labels; write label2id.json"),
    "squares without numbers": (
        raw(save({f"{name}.weight": torch.eye(3) for name in ("first", "mid", "out")}, {"labels": '["a", "b", "c"]'})),
        "no chain: first 3 -> 3, mid 3 -> 3, out 3 -> 3; several orders of them fit, and no number tells which",
    ),
    "a norm in a square chain": (
        raw(save({name: torch.ones(3, 3)[: 3 if "fc" in name else 1].squeeze(0) for name in SQUARE})),
        r"where norm \(3\) belongs cannot be told",
    ),
}


class TheirModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)


UNKNOWN_OBJECTS: Cases = {
    "a whole module": (
        saved(TheirModule()),
        r"test_refused_files.TheirModule.*torch.nn.*save model.state_dict\(\) and",
    ),
    "a Sequential": (saved(sequential(DIMS)), r"wants to build .*torch.nn.modules.container.Sequential.* nothing in a"),
    "a Namespace": (
        saved({"Optimizer": {}, "Step": 1, "Args": argparse.Namespace(lr=1), "Downstream": fc_state()}),
        r"wants to build argparse.Namespace. Only tensors and plain data .* save vars\(args\) in place of args",
    ),
    "a numpy scalar": (having(val_loss=np.float64(0.5)), r"multiarray.scalar.*save numpy numbers as float\(...\)"),
    "a numpy array": (having(mean=np.ones(8)), r"numpy._core.multiarray._reconstruct, numpy.dtype, numpy.ndarray"),
    "a path": (having(output=PurePosixPath("out")), "wants to build pathlib.PurePosixPath.* save paths as text"),
    "a quantised tensor": (quantised, r"_rebuild_qtensor.*tensor.dequantize\(\)"),
    "a sparse tensor": (weights(lambda s: s.update(q=torch.eye(3).to_sparse())), r"_rebuild_sparse_tensor.*to_dense"),
    "a meta tensor": (weights(lambda s: s.update(q=torch.ones(2, device="meta"))), "_rebuild_meta_tensor_no_storage"),
    "eight bits": (weights(lambda s: s.update(q=torch.ones(2).to(torch.float8_e4m3fn))), r"torch.float8_e4m3fn"),
}
ALL = {
    f"{kind}: {name}": case
    for kind, cases in {"file": FILES, "safetensors": SAFETENSORS, "objects": UNKNOWN_OBJECTS}.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("write", "reason"), ALL.values(), ids=list(ALL))
def test_what_is_no_checkpoint_is_refused_with_what_was_found_and_the_cure(
    write: Write, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path)
    with pytest.raises(CheckpointError, match=f"(?s){reason}") as refused:
        read_head(path)
    message = str(refused.value)
    assert str(path) in message or str(path.parent / "") in message
    assert ";" in message
