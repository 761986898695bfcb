"""UTF-8 files, and what is said of those that are not."""

import codecs
from pathlib import Path

from emoji_lightning.errors import ManifestError


def read_text_file(path: Path) -> str:
    r"""Read a whole text file; `\r\n` and `\r` become `\n`, a byte order mark goes.

    Raises:
        ManifestError: It is not UTF-8; names the line and the byte.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError(describe_encoding(path)) from None
    if "\0" in text:
        raise ManifestError(f"{path.name}: holds NUL bytes, as UTF-16 does; save it as UTF-8")
    return text


def describe_encoding(path: Path) -> str:
    """Say where a file that is not UTF-8 is not, and how to save it."""
    cure = f"save it as UTF-8, e.g. iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return f"{path.name}: the file is UTF-16; {cure.replace('WINDOWS-1252', 'UTF-16')}"
        file.seek(0)
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError as error:
                return f"{path.name}:{line}: byte 0x{content[error.start]:02X} is not UTF-8; {cure}"
    return f"{path.name}: the file is not UTF-8; {cure}"
