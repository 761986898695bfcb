"""Manifests as tests write and compare them."""

from pathlib import Path

from emoji_lightning.manifest import Manifest, read_manifest

FIXTURES = Path(__file__).parents[1] / "fixtures"


def write(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_csv(folder: Path, content: str | bytes, **options: object) -> Manifest:
    return read_manifest(write(folder, content), **options)  # type: ignore[arg-type]


def as_rows(manifest: Manifest) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = manifest.table.to_pylist()
    return rows
