"""Numbers drawn within a row of a table: a bar or a dot, the whisker of its interval, lines of reference.

All places are percentages of the cell, so that a strip is as wide and as high as the table leaves room for and the
lines of reference of neighbouring rows meet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from emoji_lightning.report.quantities import Quantity, write_number
from emoji_lightning.report.svg import Element, add, to_markup


@dataclass(frozen=True)
class Axis:
    """The range that all strips of a column share.

    Attributes:
        low: Value at the left edge.
        high: Value at the right edge.
        ticks: Values that have a line; every second one has a number, too.
    """

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where a value stands, in percent of the width; values outside stand at the edge."""
        return 100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


SHARES = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0))
"""Of everything that is a share or a probability."""


@dataclass(frozen=True)
class Reference:
    """A line across all strips of a column.

    Attributes:
        name: What it is.
        quantity: Where it stands.
        kind: `chance`, `majority`, `own_test` or `real_speech`; decides how it is drawn.
    """

    name: str
    quantity: Quantity
    kind: str


def axis_of_differences(differences: Iterable[Quantity]) -> Axis:
    """Return an axis with zero in its middle that has room for all intervals.

    >>> axis_of_differences([Quantity(0.03, -0.04, 0.1), Quantity(None)]).ticks
    (-0.1, -0.05, 0.0, 0.05, 0.1)
    """
    ends = [abs(end) for each in differences for end in (each.value, each.low, each.high) if end is not None]
    widest = max(ends, default=0.0)
    reach = next((step for step in (0.05, 0.1, 0.2, 0.3, 0.4, 0.6) if widest <= step), 1.0)
    return Axis(-reach, reach, (-reach, -reach / 2, 0.0, reach / 2, reach))


def draw_axis(axis: Axis) -> Markup:
    """Draw the numbers of an axis, for the head of a column, one for every second line."""
    root = _start("axis")
    for tick in axis.ticks[::2]:
        place = axis.place(tick)
        anchor = "start" if place == 0 else "end" if place == 100 else "middle"
        text = f"{tick:g}".replace("-", "\u2212")
        add(root, "text", text, x=f"{place:g}%", y="72%", text_anchor=anchor)
    return to_markup(root)


def draw_strip(
    axis: Axis, quantity: Quantity, *, name: str, bar: bool = False, references: Sequence[Reference] = ()
) -> Markup:
    """Draw one number.

    The number and its interval stand in the cell beside it, so screen readers pass over the drawing.

    Args:
        axis: Range of the column.
        quantity: The number; an unknown one leaves the strip empty.
        name: What the tooltip calls it.
        bar: Whether it is a bar from zero rather than a dot.
        references: Lines across.
    """
    root = _start("strip")
    add(root, "title", f"{name}: {quantity}")
    for tick in axis.ticks:
        add(root, "line", class_="zero" if tick == 0 else "grid", **_vertical(axis, tick, "0%", "100%"))
    for each in references:
        if each.quantity.value is not None:
            add(root, "line", class_=f"reference {each.kind}", **_vertical(axis, each.quantity.value, "0%", "100%"))
    if quantity.value is None:
        return to_markup(root)
    if bar:
        width = axis.place(quantity.value) - axis.place(0.0)
        add(root, "rect", class_="bar", x=f"{axis.place(0.0):g}%", y="24%", width=f"{width:.2f}%", height="52%")
    _draw_whisker(root, axis, quantity)
    if not bar:
        add(root, "circle", class_="dot", cx=f"{axis.place(quantity.value):.2f}%", cy="50%", r="4.5")
    return to_markup(root)


def draw_swatch(kind: str) -> Markup:
    """Draw the line of a reference for the legend."""
    root = add(None, "svg", class_="swatch", width="14", height="16", aria_hidden="true")
    add(root, "line", class_=f"reference {kind}", x1="7", x2="7", y1="0", y2="16")
    return to_markup(root)


def describe_reference(reference: Reference) -> str:
    """Return the name and the value of a reference for the legend."""
    return f"{reference.name} {write_number(reference.quantity.value)}"


def _start(css_class: str) -> Element:
    return add(None, "svg", class_=css_class, width="100%", height="100%", aria_hidden="true")


def _vertical(axis: Axis, value: float, top: str, bottom: str) -> dict[str, str]:
    place = f"{axis.place(value):.2f}%"
    return {"x1": place, "x2": place, "y1": top, "y2": bottom}


def _draw_whisker(root: Element, axis: Axis, quantity: Quantity) -> None:
    if quantity.low is None or quantity.high is None:
        return
    low, high = f"{axis.place(quantity.low):.2f}%", f"{axis.place(quantity.high):.2f}%"
    add(root, "line", class_="whisker", x1=low, x2=high, y1="50%", y2="50%")
    for end in (quantity.low, quantity.high):
        add(root, "line", class_="whisker", **_vertical(axis, end, "36%", "64%"))
