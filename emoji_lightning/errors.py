"""What goes wrong because of the input, not because of the program.

Every message names the place (file, row), what was found, what was expected and what to do. The command line prints it
without a traceback and exits with 2.
"""

from collections.abc import Sequence


class EmojiLightningError(Exception):
    """Base of every error that the user can cure."""


class LabelError(EmojiLightningError):
    """A label or a label set cannot be used."""


class ManifestError(EmojiLightningError):
    """A table of utterances cannot be read or lacks something."""


class AudioError(EmojiLightningError):
    """An audio file cannot be turned into a waveform or an embedding."""


class EncoderError(EmojiLightningError):
    """An encoder is unknown, cannot be fetched, or its files do not fit."""


class StoreError(EmojiLightningError):
    """An embedding store is damaged, made by another encoder, or lacks vectors."""


class SplitError(EmojiLightningError):
    """A manifest cannot be split as asked."""


class CheckpointError(EmojiLightningError):
    """A checkpoint or bundle is missing or does not fit."""


class TrainingError(EmojiLightningError):
    """A training came to nothing: its loss or its weights are no numbers any more."""


class EvaluationError(EmojiLightningError):
    """Predictions cannot be evaluated."""


class ConfigError(EmojiLightningError):
    """Options contradict each other or the machine."""


def join_problems(problems: Sequence[str], *, limit: int = 20) -> str:
    """Put many problems into one message, one a line, the rest counted.

    Args:
        problems: Messages, each complete in itself.
        limit: How many are printed in full.

    >>> print(join_problems(["a.csv:2: no audio", "a.csv:3: no audio"], limit=1))
    a.csv:2: no audio
    ... and 1 more
    """
    shown = list(problems[:limit])
    if len(problems) > limit:
        shown.append(f"... and {len(problems) - limit} more")
    return "\n".join(shown)
