"""Utterances and their stored embeddings, joined by key or by id."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.embedding.digests import manifest_keys
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ConfigError, StoreError, join_problems
from emoji_lightning.manifest import Manifest


def join_embeddings(
    manifest: Manifest, store: EmbeddingStore, *, missing: Literal["error", "drop"] = "error"
) -> tuple[Manifest, NDArray[np.float32]]:
    """Return the utterances that have an embedding, and these embeddings (N, D) in the same order.

    Raises:
        StoreError: An utterance has none and `missing` is "error", or no utterance has one.
    """
    if missing not in ("error", "drop"):
        raise ConfigError(f"missing is {missing!r}; expected 'error' or 'drop'")
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


def _absent_message(manifest: Manifest, store: EmbeddingStore, absent: list[int]) -> str:
    ids = manifest.ids
    problems = join_problems([f"{manifest.where(row)}: no embedding of {ids[row]!r}" for row in absent], limit=10)
    return (
        f"{problems}\n{len(absent)} of {len(manifest)} utterances have no embedding in {store.path}. Run "
        f"`emoji-lightning embed MANIFEST --store {store.path} --encoder {store.spec.encoder}` with the manifest that "
        "you gave here, and its --column and --audio-root if it has them (it does only what is missing), or leave them "
        "out with --data.missing drop"
    )
