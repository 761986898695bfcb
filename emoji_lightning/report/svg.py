"""SVG elements; text and attributes are escaped because a tree is built, not a string."""

import xml.etree.ElementTree as ET

from markupsafe import Markup

Element = ET.Element


def add(parent: Element | None, tag: str, text: str | None = None, /, **attributes: object) -> Element:
    """Make an element, within another one if given.

    Args:
        parent: Where it belongs; None makes a root.
        tag: Its name.
        text: Its content.
        **attributes: As in SVG, with `_` for `-`; a `_` at the end is dropped (`class_`), floats are rounded to 0.01.
    """
    written = {key.rstrip("_").replace("_", "-"): _write(value) for key, value in attributes.items()}
    element = ET.Element(tag, written) if parent is None else ET.SubElement(parent, tag, written)
    element.text = text
    return element


def to_markup(root: Element) -> Markup:
    """Return the element as text that templates take as it is."""
    return Markup(ET.tostring(root, encoding="unicode"))


def _write(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
