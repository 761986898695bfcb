"""Numbers that look random, but depend on text and seed only: what makes splits independent of the order of rows."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hash_texts(texts: Sequence[str], seed: int) -> NDArray[np.uint64]:
    """Return a number per text, shape (N,) uint64: the first 8 bytes of BLAKE2b of the seed and the text."""
    start = hashlib.blake2b(f"{seed}\0".encode(), digest_size=8)
    digests = bytearray()
    for text in texts:
        each = start.copy()
        each.update(text.encode())
        digests += each.digest()
    return np.frombuffer(bytes(digests), dtype="<u8")
