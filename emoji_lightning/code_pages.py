"""Emoji whose UTF-8 was read by a Western or Greek code page."""

# Bytes that neither cp1253 nor cp1252 can show: whoever reads UTF-8 by these code pages drops them.
LOST_BYTES = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])


def repair_encoding(text: str) -> str:
    """Undo UTF-8 read by a code page; the Greek one first, which ftfy does not know."""
    import emoji
    import ftfy

    if text.isascii():
        return text
    decoded = bytes_behind(text).decode(errors="replace")
    if decoded and emoji.purely_emoji(decoded):
        return decoded
    # fix_encoding, not fix_text: the latter also straightens quotes, which are bytes of broken emoji.
    return ftfy.fix_encoding(text)


def bytes_behind(text: str) -> bytes:
    """Return the bytes that were read by cp1253, with cp1252 and latin-1 in its gaps; empty if it was not so."""
    found = bytearray()
    for char in text:
        for codec in ("cp1253", "cp1252", "latin-1"):
            try:
                found += char.encode(codec)
                break
            except UnicodeEncodeError:
                continue
        else:
            return b""
    return bytes(found)
