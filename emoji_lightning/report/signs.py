"""How a label looks on the page."""

import unicodedata
from dataclasses import dataclass

from emoji_lightning.labels import ascii_alias, normalize_label

MAX_DRAWN = 18
"""Characters of a class name that an axis has room for; the tooltip has all."""


@dataclass(frozen=True)
class Sign:
    """A label as text that a browser draws, and its name in words.

    Attributes:
        label: The label itself.
        text: What is drawn: an emoji with the selector that makes it colourful, or the class name.
        name: The emoji in words, or the class name.
        is_emoji: Whether it is drawn in colour.
    """

    label: str
    text: str
    name: str
    is_emoji: bool

    @classmethod
    def of(cls, label: str) -> "Sign":
        """Look a label up.

        >>> Sign.of("❤").name, len(Sign.of("❤").text), Sign.of("joy").text
        ('red heart', 2, 'joy')
        """
        import emoji

        if not (label and emoji.purely_emoji(normalize_label(label))):
            return cls(label, label, label, is_emoji=False)
        # Labels in normal form have lost U+FE0F, without which a browser draws some of them in black.
        text = emoji.emojize(emoji.demojize(label))
        return cls(label, text, ascii_alias(label).replace("_", " "), is_emoji=True)

    @property
    def spoken(self) -> str:
        """What a tooltip says: the emoji and its name, or the class name."""
        return f"{self.text} {self.name}" if self.is_emoji else self.text

    @property
    def drawn(self) -> str:
        """The text, cut where a class name is longer than an axis has room for."""
        return self.text if self.is_emoji or len(self.text) <= MAX_DRAWN else f"{self.text[: MAX_DRAWN - 1]}…"

    def width(self, font_px: float) -> float:
        """Estimate how wide `drawn` is in a sans-serif font, in px; a little too wide rather than too narrow."""
        if self.is_emoji:
            import emoji

            return 1.3 * font_px * emoji.emoji_count(self.text)
        ems = (1.0 if unicodedata.east_asian_width(char) in "WF" else 0.62 for char in self.drawn)
        return font_px * sum(ems)
