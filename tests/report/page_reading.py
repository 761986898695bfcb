"""An HTML page as a tree; a page whose tags do not match is an error."""

import re
import xml.etree.ElementTree as ET
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr"}


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tree, self.open = ET.TreeBuilder(), []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.tree.start(tag, {name: value or "" for name, value in attributes})
        if tag in VOID:
            self.tree.end(tag)
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"
        self.tree.end(tag)

    def handle_data(self, data: str) -> None:
        if self.open:
            self.tree.data(data)


@lru_cache(maxsize=8)
def read_page(path: Path) -> ET.Element:
    builder = _Builder()
    builder.feed(path.read_text(encoding="utf-8"))
    builder.close()
    assert not builder.open
    return builder.tree.close()


def find(root: ET.Element, tag: str, css_class: str = "", **attributes: str) -> list[ET.Element]:
    """Return the elements of a tag that have a class and attributes (`data_metric` for `data-metric`)."""
    wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
    return [
        each
        for each in root.iter(tag)
        if (not css_class or css_class in each.get("class", "").split())
        and all(each.get(name) == value for name, value in wanted.items())
    ]


def text_of(element: ET.Element) -> str:
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def values_of(element: ET.Element) -> list[float]:
    """Return the machine-readable numbers within an element, as <data value> holds them."""
    return [float(each.get("value", "nan")) for each in element.iter("data")]


def rows_of(table: ET.Element) -> list[ET.Element]:
    return [row for body in table.iter("tbody") for row in body.iter("tr")]
