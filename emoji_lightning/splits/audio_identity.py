"""What makes two audio files the same: their bytes where they are here, their path where not."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from emoji_lightning.audio import audio_key
from emoji_lightning.embedding.digests import DigestCache
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import AudioError, ManifestError
from emoji_lightning.manifest import Manifest

# A column that holds folders holds them from the beginning; a million questions to the disk would take seconds.
_LOOKED_AT = 1000


class AudioIdentities(NamedTuple):
    """Identity of the audio of N rows.

    Attributes:
        values: SHA-256 of the file's bytes, or the path where it cannot be read; empty where there is no audio.
        num_unread: Files that are known by their path only.
    """

    values: Sequence[str]
    num_unread: int


def identify_audio(manifest: Manifest, store: EmbeddingStore | None = None) -> AudioIdentities:
    """Compare audio by its bytes, each file read once.

    Args:
        manifest: Table with the column `audio`.
        store: Its digest cache answers for files that were embedded, also where they are not on this machine.

    Raises:
        ManifestError: Audio is a folder.
    """
    names = manifest.column("audio")
    distinct = list(dict.fromkeys(names))
    folder = next((name for name in distinct[:_LOOKED_AT] if (manifest.root / name).is_dir()), None)
    if folder is not None:
        raise ManifestError(
            f"{manifest.where(names.index(folder))}: audio {folder!r} is a folder; expected an audio file"
        )
    digests = _ask_store(distinct, manifest.root, store) if store else _hash_files(distinct, manifest.root)
    return AudioIdentities([digests.get(name) or name for name in names], len(distinct) - len(digests))


def _ask_store(names: Sequence[str], root: Path, store: EmbeddingStore) -> dict[str, str]:
    """Return the digest of each file that the store knows or that is here."""
    cache, found = DigestCache(store), {}
    for name in names:
        with suppress(AudioError):
            found[name] = cache.digest(name, root / name, by_name=True)
    cache.save()
    return found


def _hash_files(names: Sequence[str], root: Path) -> dict[str, str]:
    """Return the digest of each file that is here."""
    is_folder = cache(lambda folder: (root / folder).is_dir())  # of a million files elsewhere, one question per folder
    here = [name for name in names if is_folder(name.rpartition("/")[0])]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing and reading release the interpreter's lock
        digests = zip(here, pool.map(_hash, [root / name for name in here]), strict=True)
        return {name: digest for name, digest in digests if digest}


def _hash(path: Path) -> str:
    try:
        return audio_key(path)
    except AudioError:
        return ""
