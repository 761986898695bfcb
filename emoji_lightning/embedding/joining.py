"""Utterances and their stored embeddings, joined by key or by id."""

from typing import Literal

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from emoji_lightning.embedding.digests import manifest_key_column, manifest_keys
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.stored import StoredEmbeddings, read_names
from emoji_lightning.errors import ConfigError, StoreError, join_problems
from emoji_lightning.manifest import Manifest
from emoji_lightning.manifest.table import row_ids

LISTED = 10
"""Utterances that an error names."""


def join_embeddings(
    manifest: Manifest, store: EmbeddingStore, *, missing: Literal["error", "drop"] = "error"
) -> tuple[Manifest, NDArray[np.float32]]:
    """Return the utterances that have an embedding, and these embeddings (N, D) in the same order.

    Raises:
        StoreError: An utterance has none and `missing` is "error", or no utterance has one.
    """
    _check_missing(missing)
    ids = store.ids()  # only imported vectors have one: such a store needs no audio
    by_id = bool(ids) or not manifest.has("audio")
    keys = list(manifest.ids) if by_id else manifest_keys(manifest, store)
    stored = ids if by_id else store.keys()
    absent = [row for row, key in enumerate(keys) if key is None or key not in stored]
    if absent and (missing == "error" or len(absent) == len(keys)):
        raise StoreError(_absent_message(manifest, store, absent))
    kept = sorted(set(range(len(keys))) - set(absent))
    wanted = [key for row in kept if (key := keys[row]) is not None]
    read = store.read_ids if by_id else store.read
    return (manifest.select(kept) if absent else manifest), read(wanted)


def locate_embeddings(
    manifest: Manifest, store: EmbeddingStore, *, missing: Literal["error", "drop"] = "error"
) -> tuple[Manifest, StoredEmbeddings]:
    """Return the utterances that have an embedding, and where these are; no embedding is read.

    Names are compared in Arrow: a million keys as Python strings would take more than 100 MB.

    Raises:
        StoreError: As `join_embeddings`.
    """
    _check_missing(missing)
    names, groups = read_names(store, "id")
    if names.null_count < len(names) or not manifest.has("audio"):
        wanted = row_ids(manifest.table)
    else:
        names, groups = read_names(store, "key")
        wanted = manifest_key_column(manifest, store)
    found = pc.index_in(wanted, value_set=names.combine_chunks(), skip_nulls=True)
    places = np.asarray(pc.fill_null(found, -1).combine_chunks(), dtype=np.int64)
    absent = np.flatnonzero(places < 0)
    if absent.size and (missing == "error" or absent.size == len(places)):
        raise StoreError(_absent_message(manifest, store, absent.tolist()))
    if absent.size:
        manifest, places = manifest.select(np.flatnonzero(places >= 0)), places[places >= 0]
    return manifest, StoredEmbeddings(store, groups, places)


def _check_missing(missing: str) -> None:
    if missing not in ("error", "drop"):
        raise ConfigError(f"missing is {missing!r}; expected 'error' or 'drop'")


def _absent_message(manifest: Manifest, store: EmbeddingStore, absent: list[int]) -> str:
    ids = manifest.id_texts
    problems = join_problems(
        [f"{manifest.where(row)}: no embedding of {ids[row]!r}" for row in absent[:LISTED]], limit=LISTED
    )
    if len(absent) > LISTED:
        problems += f"\n... and {len(absent) - LISTED} more"
    return (
        f"{problems}\n{len(absent)} of {len(manifest)} utterances have no embedding in {store.path}. Run "
        f"`emoji-lightning embed MANIFEST --store {store.path} --encoder {store.spec.encoder}` with the manifest that "
        "you gave here, and its --column and --audio-root if it has them (it does only what is missing), or leave them "
        "out with --data.missing drop"
    )
