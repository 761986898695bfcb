"""Where other people's vectors come from: a folder of `ID.npy`, or emotion2vec's frames with `.lengths` and `.emo`."""

import heapq
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PureWindowsPath
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.errors import ManifestError, StoreError, join_problems
from emoji_lightning.manifest.readers import read_rows

FRAME_SECONDS = 0.02
"""Source: emotion2vec's feature encoder has a stride of 320 samples at 16 kHz."""


class VectorError(Exception):
    """An utterance has no vector that can be used; says where and why. Never leaves the import."""


class AbsentError(VectorError):
    """The source does not know the id."""


@dataclass(frozen=True)
class ImportedVector:
    """A vector as it comes into the store.

    Attributes:
        values: (D,) float32, finite.
        duration_s: Duration of its frames in s; 0.0 where it is not known.
        place: Where it was found, for messages.
    """

    values: NDArray[np.float32]
    duration_s: float
    place: str


class VectorSource(ABC):
    """Where vectors come from: finds one by the id of its utterance."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def read(self, name: str) -> ImportedVector:
        """Return the vector of an id.

        Raises:
            VectorError: It cannot be used; says where and why.
        """

    @abstractmethod
    def first_ids(self, count: int) -> list[str]:
        """Return some of the ids that are there, sorted."""


class _Folder(VectorSource):
    """`ID.npy` for each utterance, as funasr's `output_dir` has them."""

    def read(self, name: str) -> ImportedVector:
        place = PureWindowsPath(name)  # knows drives and both slashes: a manifest may come from another system
        if place.anchor or ".." in place.parts:
            raise VectorError(f"id {name!r} leads out of {self.path}; rename it in the manifest and its file")
        file = self.path / f"{name}.npy"
        array = _open_array(file)
        if array.ndim not in (1, 2) or 0 in array.shape:
            raise VectorError(f"{file}: shape {array.shape}; expected a vector (D,) or frames (T, D), T and D above 0")
        return _average(array.reshape(-1, array.shape[-1]), str(file))

    def first_ids(self, count: int) -> list[str]:
        files = (file.relative_to(self.path).with_suffix("") for file in self.path.rglob("*.npy"))
        return heapq.nsmallest(count, (file.as_posix() for file in files))


class _FrameFile(VectorSource):
    """All frames in one `X.npy`; `X.lengths` and `X.emo` say whose they are."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._emo = path.with_suffix(".emo")
        lengths_file = path.with_suffix(".lengths")
        absent = [file.name for file in (lengths_file, self._emo) if not file.is_file()]
        if absent:
            raise StoreError(
                f"{path}: {' and '.join(absent)} is not beside it; expected the frames of each utterance, one number a "
                "line, in .lengths and its `id label` in .emo; or give a folder with ID.npy for each utterance"
            )
        try:
            self._frames = _open_array(path)
        except VectorError as error:
            raise StoreError(str(error)) from None
        lengths = _read_lengths(lengths_file)
        ids = _read_ids(self._emo)
        self._ends = [0, *accumulate(lengths)]
        problems = self._find_misfits(lengths_file, len(ids))
        if problems:
            raise StoreError(f"{join_problems(problems)}\nthese files do not belong together, or one is cut off")
        self._utterances: dict[str, list[int]] = {}
        for utterance, name in enumerate(ids):
            self._utterances.setdefault(name, []).append(utterance)

    def read(self, name: str) -> ImportedVector:
        if name not in self._utterances:
            raise AbsentError(f"id {name!r} is not in {self._emo}")
        first, *others = self._utterances[name]
        vector = self._read(first)
        for other in others:
            if not np.array_equal(self._read(other).values, vector.values):
                raise VectorError(
                    f"id {name!r} stands in lines {first + 1} and {other + 1} of {self._emo} with different frames; "
                    "give one another id"
                )
        return vector

    def first_ids(self, count: int) -> list[str]:
        return heapq.nsmallest(count, self._utterances)

    def _read(self, utterance: int) -> ImportedVector:
        frames = self._frames[self._ends[utterance] : self._ends[utterance + 1]]
        place = f"{self._emo}:{utterance + 1}"
        if len(frames) == 0:
            raise VectorError(f"{place}: has 0 frames; expected at least one")
        return _average(frames, place)

    def _find_misfits(self, lengths_file: Path, num_ids: int) -> list[str]:
        problems = []
        if self._frames.ndim != 2 or self._frames.shape[1] == 0:
            problems.append(f"{self.path}: shape {self._frames.shape}; expected frames (T, D)")
        elif self._ends[-1] != len(self._frames):
            problems.append(
                f"{lengths_file}: adds up to {self._ends[-1]} frames, {self.path.name} holds {len(self._frames)}"
            )
        if len(self._ends) - 1 != num_ids:
            problems.append(f"{lengths_file}: has {len(self._ends) - 1} utterances, {self._emo.name} has {num_ids}")
        return problems


def open_source(path: Path) -> VectorSource:
    """Open a folder of `ID.npy`, or the frames `X.npy` with `X.lengths` and `X.emo` beside them.

    Raises:
        StoreError: It is neither, or the files do not fit together.
        ManifestError: Lines of `X.emo` are wrong.
    """
    if path.is_dir():
        return _Folder(path)
    if path.is_file() and path.suffix == ".npy":
        return _FrameFile(path)
    found = f"format {path.suffix!r}" if path.is_file() else "no such file or folder"
    raise StoreError(f"{path}: {found}; expected a folder with ID.npy for each utterance, or a .npy of frames")


def _open_array(file: Path) -> NDArray[Any]:
    """Map an array of floats into memory. What is pickled cannot be mapped, so that nothing is ever unpickled."""
    try:
        array = np.lib.format.open_memmap(file, mode="r")
    except (FileNotFoundError, NotADirectoryError):
        raise AbsentError(f"{file}: no such file") from None
    except OSError as error:
        raise VectorError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, OverflowError, SyntaxError, TokenError) as error:
        raise VectorError(f"{file}: is no .npy array, cut off, or holds Python objects ({error})") from None
    if array.dtype.kind != "f":
        raise VectorError(f"{file}: holds {array.dtype} values; expected float16, float32 or float64")
    return np.asarray(array)


def _average(frames: NDArray[Any], place: str) -> ImportedVector:
    with np.errstate(all="ignore"):  # what overflows is found below
        values = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    if not np.isfinite(values).all():
        raise VectorError(f"{place}: holds NaN, infinity or values that float32 cannot hold")
    return ImportedVector(values, len(frames) * FRAME_SECONDS if len(frames) > 1 else 0.0, place)


def _read_lengths(file: Path) -> list[int]:
    """Return the number of frames of each utterance."""
    text = file.read_text(encoding="utf-8", errors="replace").rstrip()
    lengths = [line.strip() for line in text.split("\n")] if text else []
    problems = [
        f"{file}:{line}: {length[:20]!r} is no number of frames; expected one whole number from 0 on"
        for line, length in enumerate(lengths, start=1)
        if not length.isdecimal()
    ]
    if problems:
        raise StoreError(join_problems(problems))
    return [int(length) for length in lengths]


def _read_ids(file: Path) -> list[str]:
    """Return the id of each line."""
    rows = read_rows(file)
    if rows.problems:
        raise ManifestError(join_problems([f"{file}:{line}: {text}" for line, text in rows.problems]))
    ids: list[str] = rows.table["id"].to_pylist()
    return ids
