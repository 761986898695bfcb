"""Speech in, one emoji out: emotion2vec embeddings, an MLP head and the Lightning framework around them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoji_lightning.scoring import score as score

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Find `score` when it is asked for: it needs torch, which costs a second that other users need not wait for."""
    if name == "score":
        from emoji_lightning.scoring import score as found

        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
