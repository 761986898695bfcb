"""Where audio may lie: paths as written -> paths below one root."""

import json
import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest.checks import rows_where

# Absolute, or with a `.`, `..` or empty part, or a trailing slash.
_NOT_PLAIN = r"^/|^\.{1,2}(/|$)|/\.{0,2}(/|$)"


@dataclass(frozen=True)
class PlacedAudio:
    """Audio paths that are all relative to one folder and below it."""

    audio: pa.ChunkedArray
    root: Path
    outside: Sequence[int]
    """Rows whose audio lies where it may not."""


def place_audio(
    audio: pa.ChunkedArray, *, folder: Path, audio_root: Path | None = None, recorded_root: str | None = None
) -> PlacedAudio:
    """Make audio paths relative to one root and find those that leave it.

    A plain path is relative to `audio_root`, or else to the manifest's folder. A path that is absolute or climbs with
    `..` starts from the manifest's folder and must end below `audio_root`, the recorded root or the manifest's folder.

    Args:
        audio: Paths as written, shape (N,).
        folder: The manifest's folder.
        audio_root: `--audio-root`; takes the place of the recorded root.
        recorded_root: Root relative to `folder` as the record beside the manifest names it; paths written together
            with that record begin with it.
    """
    home = folder.resolve()
    root = (audio_root if audio_root else home / (recorded_root or ".")).resolve()
    ours: pa.ChunkedArray | None = None
    if recorded_root not in (None, "."):
        ours = pc.starts_with(audio, pattern=f"{recorded_root}/")
        audio = pc.if_else(ours, pc.utf8_slice_codeunits(audio, len(f"{recorded_root}/")), audio)
    unclear = pc.match_substring_regex(audio, _NOT_PLAIN)
    if ours is not None:
        unclear = pc.or_(unclear, pc.invert(ours))
    rows = rows_where(unclear)
    if len(rows) == 0:
        return PlacedAudio(audio, root, ())
    texts = audio.to_pylist()
    plain_base = home if ours is not None else root
    roots = [root, home, *([audio_root.absolute()] if audio_root else []), folder.absolute()]
    targets = {row: _resolve(texts[row], plain_base=plain_base, home=home, roots=roots) for row in rows}
    outside = [row for row, target in targets.items() if target is None]
    inside = {row: target for row, target in targets.items() if target is not None}
    return _gather(texts, inside, root=root, outside=outside)


def read_recorded_root(manifest: Path) -> str | None:
    """Return the audio root that the record beside a manifest names, relative to the manifest's folder.

    Raises:
        ManifestError: The record is not what `Manifest.write` leaves.
    """
    record = record_path(manifest)
    if not record.is_file():
        return None
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ManifestError(f"{record.name}: not JSON ({error}); delete it or write {manifest.name} again") from None
    root = content.get("audio_root") if isinstance(content, dict) else None
    if root is None:
        return None
    if not isinstance(root, str) or os.path.isabs(root):  # noqa: PTH117 - the text is foreign, not yet a path
        raise ManifestError(f"{record.name}: audio_root is {root!r}; expected a path relative to {manifest.name}")
    return posixpath.normpath(root)


def record_path(manifest: Path) -> Path:
    """Return where the record of a written manifest lies: `split.csv` -> `split.csv.json`."""
    return manifest.with_name(f"{manifest.name}.json")


def _resolve(text: str, *, plain_base: Path, home: Path, roots: Sequence[Path]) -> str | None:
    """Return the absolute path under a resolved root, or None where it leaves all of them."""
    path = posixpath.normpath(text) if text else ""
    climbs = path.startswith("/") or path == ".." or path.startswith("../")
    target = os.path.normpath((home if climbs else plain_base) / path)
    for root in roots:
        below = _below(target, str(root))
        if below:
            # A root may be given through a link: what counts is where it leads.
            return str(root.resolve() / below)
    return "" if not text else None


def _below(target: str, root: str) -> str | None:
    prefix = root.rstrip("/") + "/"
    return target[len(prefix) :] if target.startswith(prefix) else None


def _gather(texts: list[str], inside: dict[int, str], *, root: Path, outside: Sequence[int]) -> PlacedAudio:
    """Rewrite the absolute paths `inside` relative to the root, widened where some lie beside it."""
    strays = [target for target in inside.values() if target and _below(target, str(root)) is None]
    if strays:
        wider = Path(os.path.commonpath([root, *(str(Path(stray).parent) for stray in strays)]))
        prefix = root.relative_to(wider).as_posix()
        skipped = {*inside, *outside}
        texts = [text if row in skipped else posixpath.join(prefix, text) for row, text in enumerate(texts)]
        root = wider
    for row, target in inside.items():
        texts[row] = (_below(target, str(root)) or "") if target else ""
    return PlacedAudio(pa.chunked_array([pa.array(texts, pa.string())]), root, outside)
