"""The utterances that could not be used: a list in the store, and one error in the end."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emoji_lightning.errors import StoreError, join_problems
from emoji_lightning.files import write_whole
from emoji_lightning.manifest import Manifest

FAILED = "failed.csv"


@dataclass(frozen=True)
class Failure:
    """An utterance that cannot be used: its row in the manifest, id, audio path and the reason."""

    row: int
    id: str
    audio: str
    reason: str


def write_failures(store: Path, failures: Sequence[Failure], manifest: Manifest) -> None:
    """Write `failed.csv` into a store's folder; where nothing failed, remove an earlier one.

    Raises:
        StoreError: It cannot be written.
    """
    target = store / FAILED
    if not failures:
        target.unlink(missing_ok=True)
        return

    def write(file: Path) -> None:
        # A name that is not UTF-8 must not cost the list of all others.
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["line", "id", "audio", "reason"])
            rows.writerows((manifest.lines[f.row], f.id, f.audio, f.reason) for f in failures)

    try:
        write_whole(target, write)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot be written ({error.strerror}); what was finished is in the store"
        ) from error


def describe_failures(store: Path, failures: Sequence[Failure], manifest: Manifest, what: str) -> str:
    """Return the error that ends a verb with too many failures.

    Args:
        store: The store's folder.
        failures: What failed.
        manifest: Where the rows are.
        what: What these utterances have: "audio that cannot be used".
    """
    problems = join_problems([f"{manifest.where(failure.row)}: {failure.reason}" for failure in failures])
    return (
        f"{problems}\n{len(failures)} of {len(manifest)} utterances have {what}; all others are in the store. The list "
        f"is in {store / FAILED}; correct them and run `embed` again, or allow them with --max-failed N"
    )
