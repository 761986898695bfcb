"""Templates -> one HTML file that needs nothing else and runs nothing."""

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from emoji_lightning import __version__
from emoji_lightning.evaluation.resampling import FEW_GROUPS
from emoji_lightning.report.confusion import draw_ramp
from emoji_lightning.report.quantities import write_count, write_number, write_p
from emoji_lightning.report.strips import SHARES, describe_reference, draw_axis, draw_swatch

STYLES = ("base.css", "tables.css", "charts.css", "print.css")

# What neither HTML nor UTF-8 can hold: control characters, and half characters from file names that are no UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fill a template.

    The page carries a policy by which a browser loads nothing over the network, runs no script and takes no style but
    the one it was written with, so that text from a manifest could do no harm even if it were not escaped.

    Args:
        template: Name of the file.
        content: What it names.
    """
    style = _read_style()
    page = _environment().get_template(template).render(**content, style=style, policy=_write_policy(style))
    return _UNPRINTABLE.sub("\ufffd", page)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("emoji_lightning.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=write_number, p=write_p, count=write_count)
    environment.globals.update(
        version=__version__,
        shares=SHARES,
        few_groups=FEW_GROUPS,
        draw_axis=draw_axis,
        draw_ramp=draw_ramp,
        draw_swatch=draw_swatch,
        describe_reference=describe_reference,
    )
    return environment


@lru_cache(maxsize=1)
def _read_style() -> Markup:
    environment = _environment()
    assert environment.loader is not None
    sources = [environment.loader.get_source(environment, f"style/{name}")[0] for name in STYLES]
    return Markup("\n".join(sources))


def _write_policy(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:"
