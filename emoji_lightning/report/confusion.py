"""The confusion matrix as a heat map."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from emoji_lightning.report.quantities import write_count, write_number
from emoji_lightning.report.signs import Sign
from emoji_lightning.report.svg import Element, add, to_markup
from emoji_lightning.report.words import Words

STEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Upper ends of the steps of the colour ramp above zero; finer where confusions are, so that they differ in colour.
Steps, because each has a colour of its number that can be read on it, in light and dark; a continuous ramp has middles
where neither black nor white can."""

_NAME_PX = 12.0
_GAP_PX = 8.0
_SLANT = 0.7071  # of names at 45 degrees


@dataclass(frozen=True)
class HeatMap:
    """Two drawings of equal height: names of rows, which stay in sight when the cells are scrolled, and cells.

    Attributes:
        names: Names of the rows.
        cells: Cells, names of the columns, sums.
    """

    names: Markup
    cells: Markup


@dataclass(frozen=True)
class _Layout:
    cell: float
    emoji_px: float
    names_width: float
    head: float
    slanted: tuple[bool, ...]
    sums_width: float
    margin: float
    height_of_rows: float


def draw_confusion(
    labels: Sequence[str], confusion: Sequence[Sequence[int]], *, words: Words, all_rows: bool
) -> HeatMap:
    """Draw counts as cells, coloured by their share of the row.

    Args:
        labels: K labels.
        confusion: Counts, K rows (true) of K columns (predicted).
        words: What the labels of rows and columns are.
        all_rows: Whether rows without any utterance are drawn, too.
    """
    signs = [Sign.of(label) for label in labels]
    rows = [row for row, counts in enumerate(confusion) if all_rows or any(counts)]
    sums = [sum(counts) for counts in confusion]
    layout = _lay_out(signs, rows, largest=max(sums), total=sum(sums))
    drawing = _Drawing(signs, rows, layout, words)
    for place, row in enumerate(rows):
        drawing.draw_row(row, confusion[row], top=layout.head + place * layout.cell)
    drawing.draw_sums([sum(column) for column in zip(*confusion, strict=True)])
    return HeatMap(to_markup(drawing.names), to_markup(drawing.cells))


def draw_ramp() -> Markup:
    """Draw the colours with the largest share that each stands for, for the legend."""
    width, ends = 28, (0.0, *STEPS)
    root = add(None, "svg", class_="ramp", width=width * len(ends), height=28, role="img")
    root.set("aria-label", "Colours from no utterance to all utterances of the row")
    for step, end in enumerate(ends):
        colour, text = add(root, "g", class_=f"h{step}"), f"{end:g}".replace("0.", ".")
        add(colour, "rect", x=width * step, y=0, width=width - 1, height=12)
        add(root, "text", text, class_="tick", x=width * (step + 0.5), y=25, text_anchor="middle")
    return to_markup(root)


def step_of(count: int, total: int) -> int:
    """Return the step of the ramp for a share of a row: 0 for none, else 1 to 10.

    >>> step_of(0, 5), step_of(1, 1000), step_of(1, 10), step_of(2, 10), step_of(5, 5)
    (0, 1, 3, 5, 10)
    """
    return bisect_left(STEPS, count / total) + 1 if count else 0


def _lay_out(signs: Sequence[Sign], rows: Sequence[int], *, largest: int, total: int) -> _Layout:
    base, digit = (36.0, 7.5) if len(signs) <= 12 else (32.0, 7.0) if len(signs) <= 20 else (24.0, 6.2)
    cell = max(base, 6.0 + digit * len(str(largest)))
    emoji_px = min(22.0, 0.62 * cell)
    slanted = tuple(not sign.is_emoji and sign.width(_NAME_PX) > cell - 2 for sign in signs)
    slopes = {column: _SLANT * signs[column].width(_NAME_PX) for column, slants in enumerate(slanted) if slants}
    sums_width = max(cell, 6.0 + digit * len(str(total)))
    right = len(signs) * cell + _GAP_PX + sums_width
    widths = [signs[row].width(emoji_px if signs[row].is_emoji else _NAME_PX) for row in rows]
    return _Layout(
        cell=cell,
        emoji_px=emoji_px,
        names_width=max([*widths, 58.0]) + 12,
        head=34.0 + max([emoji_px, *(16 + slope for slope in slopes.values())]),
        slanted=slanted,
        sums_width=sums_width,
        margin=max([0.0, *((column + 0.5) * cell + 16 + slope - right for column, slope in slopes.items())]),
        height_of_rows=len(rows) * cell,
    )


class _Drawing:
    """The two drawings while they are made."""

    def __init__(self, signs: Sequence[Sign], rows: Sequence[int], layout: _Layout, words: Words) -> None:
        self._signs, self._layout, self._words = signs, layout, words
        self._sum_x = len(signs) * layout.cell + _GAP_PX + layout.sums_width / 2
        said = f"{len(rows)} rows by {words.truth} label, {len(signs)} columns by {words.answer} label"
        self.names = self._start("names", layout.names_width, f"{words.truth} labels")
        self.cells = self._start(
            "cells",
            self._sum_x + layout.sums_width / 2 + layout.margin,
            f"Confusion matrix: {said}. The table below has the same numbers.",
        )
        self._draw_head()

    def draw_row(self, row: int, counts: Sequence[int], *, top: float) -> None:
        """Draw the name, the cells and the sum of a row."""
        sign, size = self._signs[row], self._layout.cell
        lift = self._layout.emoji_px * 0.36 if sign.is_emoji else 4.0
        right = self._layout.names_width - 8
        self._add_sign(self.names, sign, x=right, y=top + size / 2 + lift, text_anchor="end")
        total = sum(counts)
        for column, count in enumerate(counts):
            kind = f"cell h{step_of(count, total)}" + (" hit" if row == column else "")
            cell = add(self.cells, "g", class_=kind)
            add(cell, "title", self._describe_cell(row, column, count, total))
            add(cell, "rect", x=column * size + 1, y=top + 1, width=size - 2, height=size - 2, rx=2)
            if count:
                self._add_count(cell, count, x=(column + 0.5) * size, top=top, width=size)
        self._add_sum(total, x=self._sum_x, top=top, width=self._layout.sums_width)

    def draw_sums(self, sums: Sequence[int]) -> None:
        """Draw the sums of the columns below the rows."""
        size, right = self._layout.cell, self._layout.names_width - 8
        top = self._layout.head + self._layout.height_of_rows + _GAP_PX
        add(self.names, "text", "all", class_="axis-word", x=right, y=top + size / 2 + 4, text_anchor="end")
        for column, total in enumerate(sums):
            self._add_sum(total, x=(column + 0.5) * size, top=top, width=size)
        self._add_sum(sum(sums), x=self._sum_x, top=top, width=self._layout.sums_width)

    def _start(self, css_class: str, width: float, said: str) -> Element:
        height = self._layout.head + self._layout.height_of_rows + _GAP_PX + self._layout.cell
        root = add(None, "svg", class_=css_class, role="img", aria_label=said, width=width, height=height)
        root.set("viewBox", f"0 0 {width:.2f} {height:.2f}")
        return root

    def _draw_head(self) -> None:
        layout, bottom = self._layout, self._layout.head - 8
        words = {"class_": "axis-word", "y": bottom}
        add(self.names, "text", f"{self._words.truth} ↓", x=layout.names_width - 8, text_anchor="end", **words)
        add(self.cells, "text", f"{self._words.answer} →", class_="axis-word", x=2, y=14)
        for column, (sign, slants) in enumerate(zip(self._signs, layout.slanted, strict=True)):
            x = (column + 0.5) * layout.cell + (4 if slants else 0)
            turn = {"transform": f"rotate(-45 {x:.2f} {bottom:.2f})"} if slants else {}
            self._add_sign(self.cells, sign, x=x, y=bottom, text_anchor="start" if slants else "middle", **turn)
        add(self.cells, "text", "all", x=self._sum_x, text_anchor="middle", **words)

    def _describe_cell(self, row: int, column: int, count: int, total: int) -> str:
        share = f" of {write_count(total)} ({write_number(count / total)})" if total else ""
        truth, answer = (self._signs[place].spoken for place in (row, column))
        return f"{self._words.truth} {truth}, {self._words.answer} {answer}: {write_count(count)}{share}"

    def _add_sign(self, parent: Element, sign: Sign, **attributes: object) -> None:
        size = self._layout.emoji_px if sign.is_emoji else _NAME_PX
        text = add(parent, "text", class_="emoji" if sign.is_emoji else "name", font_size=size, **attributes)
        add(text, "title", sign.spoken).tail = sign.drawn

    def _add_sum(self, count: int, *, x: float, top: float, width: float) -> None:
        self._add_count(self.cells, count, x=x, top=top, width=width).set("class", "sum")

    def _add_count(self, parent: Element, count: int, *, x: float, top: float, width: float) -> Element:
        size = min(14.0, self._layout.cell * 0.4, (width - 5) / (0.65 * len(str(count))))
        y = top + self._layout.cell / 2 + size * 0.36
        return add(parent, "text", str(count), x=x, y=y, font_size=size, text_anchor="middle")
