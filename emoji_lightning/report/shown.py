"""Utterances that the page shows, with their audio inside the page."""

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path

MAX_AUDIO_BYTES = 20_000_000
"""Longer files are named but not embedded: a browser would hold all of them in memory."""

_AUDIO_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
}


@dataclass(frozen=True)
class Shown:
    """An utterance that was heard as another label than its true one.

    Attributes:
        id: Its id in the manifest.
        asked: Its true label, or the label that a system was asked for.
        heard: The label that the classifier predicts.
        probability: Of `heard`.
        text: What is said, if known.
        system: Which system said it, if several did.
        audio: File that the page embeds; None embeds none.
    """

    id: str
    asked: str
    heard: str
    probability: float
    text: str | None = None
    system: str | None = None
    audio: Path | None = None


@dataclass(frozen=True)
class Embedded:
    """Audio as it stands in the page.

    Attributes:
        uri: `data:` URI; None where the file cannot be embedded.
        problem: Why not; empty where it is.
    """

    uri: str | None
    problem: str = ""


def embed_audio(path: Path) -> Embedded:
    """Turn an audio file into a `data:` URI.

    A file that is gone or too long does not cost the report: the page says so in its place.

    Args:
        path: Audio file; its suffix decides the type.
    """
    try:
        size = path.stat().st_size
        if size > MAX_AUDIO_BYTES:
            return Embedded(None, f"{path.name} has {size / 1e6:.0f} MB and is not embedded")
        content = base64.b64encode(path.read_bytes()).decode("ascii")
    except (OSError, ValueError) as error:
        return Embedded(None, f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}")
    return Embedded(f"data:{audio_type(path)};base64,{content}")


def audio_type(path: Path) -> str:
    """Return the media type of an audio file by its suffix.

    >>> audio_type(Path("a.WAV")), audio_type(Path("a.opus")), audio_type(Path("a.unheard_of"))
    ('audio/wav', 'audio/ogg', 'application/octet-stream')
    """
    suffix = path.suffix.lower()
    return _AUDIO_TYPES.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"
