"""Tables to split, made for tests."""

from pathlib import Path

from emoji_lightning.manifest import Manifest, read_manifest


def make_manifest(folder: Path, *, num_rows: int = 60, per_text: int = 1, extra: str = "take") -> Manifest:
    """Rows of two labels; each text is spoken `per_text` times, by 6 speakers."""
    rows = [f"{row}.wav,{('joy', 'sad')[row % 2]},text {row // per_text},s{row % 6},{row}" for row in range(num_rows)]
    path = folder / "labels.csv"
    path.write_text("\n".join([f"audio,label,text,speaker,{extra}", *rows]) + "\n")
    return read_manifest(path)
