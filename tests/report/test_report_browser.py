"""What a browser makes of the pages: drawn, readable in light and dark, on a phone and by keyboard."""

import io
import re
import shutil
import subprocess
import wave
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from report_inputs import FACTS, make_errors, make_metrics, make_score

from emoji_lightning.labels import CARD_LABELS
from emoji_lightning.report import write_score_report, write_test_report

LONG = ("a rather long class name", "joy", "😭", "no_separators_in_this_class_name", "Überraschung", "x", "<none>", "❤")
FORTY = (*CARD_LABELS, *(chr(0x1F400 + place) for place in range(29)))
PAGES = ("test", "score", "long", "forty")

TEXTS = """() => {
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true}), known = {};
  const read = colour => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const parse = colour => known[colour] ??= read(colour);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const rect = each.matches('g.cell') && each.querySelector('rect');
      const colour = parse(rect ? getComputedStyle(rect).fill : getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
  };
  const found = {};
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].find(node => node.nodeType === 3 && node.data.trim());
    if (!own || each.matches('title, .emoji, .unseen') || !each.getClientRects().length) continue;
    const style = getComputedStyle(each);
    const colours = [parse(each.ownerSVGElement ? style.fill : style.color), behind(each)];
    found[colours.join()] = [own.data.trim(), ...colours];
  }
  return Object.values(found);
}"""
CUT_TEXTS = """() => {
  const texts = [...document.querySelectorAll('svg.names text, svg.cells text, svg.reliability text')];
  return texts.filter(text => {
    const inner = text.getBoundingClientRect(), outer = text.ownerSVGElement.getBoundingClientRect();
    return inner.left < outer.left - 1 || inner.right > outer.right + 1
      || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
  }).map(text => text.textContent);
}"""
READ_FILLS = "all => all.map(each => getComputedStyle(each).fill.match(/\\d+/g).map(Number))"
WATCH_FOCUS = """() => {
  window.stops = [];
  document.addEventListener('focusin', event => {
    const each = event.target;
    window.stops.push([each.localName, each.className, each.ariaLabel || each.textContent.trim()]);
  });
}"""


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(16000))
    errors = make_errors(folder / "a.wav", system="espeak-ng plain")
    paths = {name: folder / f"{name}.html" for name in PAGES}
    write_test_report(paths["test"], "test", make_metrics(), facts=FACTS, errors=errors)
    write_score_report(paths["score"], make_score(), facts=FACTS, errors=errors)
    write_score_report(paths["long"], make_score(LONG, (LONG[0], LONG[3])), facts=FACTS, errors=errors)
    write_test_report(paths["forty"], "test", make_metrics(FORTY, 4000), facts=FACTS, errors=errors)
    return paths


@pytest.fixture(scope="module")
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open a page, once for all tests; nothing but the file itself may be asked for, and nothing complained about."""
    opened: dict[str, Any] = {}
    complaints: list[str] = []
    requests: list[str] = []

    def load(name: str) -> Any:
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(pages[name].as_uri())
        return page

    def visit(name: str, *, width: int = 1200, scheme: str = "light") -> Any:
        page = opened[name] = opened.get(name) or load(name)
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, media="screen")
        assert complaints == []
        assert {url for url in requests if not url.startswith("data:")} <= {path.as_uri() for path in pages.values()}
        return page

    yield visit
    assert complaints == []


def pixels(picture: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), dtype=np.int64).reshape(-1, 3)


def count_colours(picture: bytes) -> int:
    """Count different strong colours, shades of one taken together: a letter or an empty box has none."""
    found = pixels(picture)
    strong = found[found.max(axis=1) - found.min(axis=1) > 90]
    colours, counts = np.unique(strong // 48, axis=0, return_counts=True)
    return int((counts >= 3).sum()) if len(colours) else 0


def contrast(one: list[int], other: list[int]) -> float:
    lights = []
    for colour in (one, other):
        share = np.array(colour[:3]) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        lights.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lights) / min(lights)


def skip_without_colour_emoji() -> None:
    lister = shutil.which("fc-list")
    if lister and not subprocess.run([lister, ":color=true", "family"], capture_output=True).stdout.strip():
        pytest.skip("no colour emoji font is installed (Debian: apt-get install fonts-noto-color-emoji)")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_requested_and_nothing_complained_about(visit: Callable[..., Any], name: str) -> None:
    visit(name)
    assert visit(name).title()  # the second visit looks at what the first one caused


def test_emoji_are_drawn_in_colour(visit: Callable[..., Any]) -> None:
    skip_without_colour_emoji()
    page = visit("score")
    places = ("svg.names .emoji", "svg.cells .emoji", "th.label .emoji", ".errors .emoji", ".facts dd:has-text('😭')")
    for place in places:
        assert count_colours(page.locator(place).first.screenshot()) >= 3, place
    assert count_colours(page.locator("h1").screenshot()) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cells_of_the_heat_map_have_their_colours(visit: Callable[..., Any], scheme: str) -> None:
    page = visit("test", scheme=scheme)
    sizes = page.eval_on_selector_all("svg.cells g.cell rect", "all => all.map(each => each.getBBox().width)")
    assert len(sizes) == len(CARD_LABELS) ** 2
    assert min(sizes) > 20
    drawn = pixels(page.locator("svg.cells").screenshot())
    fills = page.eval_on_selector_all(".ramp rect", READ_FILLS)
    style = (files("emoji_lightning.report") / "templates/style/base.css").read_text()
    wanted = dict(re.findall(r"--h(\d+): (#\w{6})", style.partition("@media screen")[0 if scheme == "light" else 2]))
    assert fills[:11] == [list(bytes.fromhex(wanted[str(step)][1:])) for step in range(11)]
    for step in (1, 9):
        assert (drawn == np.array(fills[step])).all(axis=1).sum() > 300


@pytest.mark.parametrize("name", PAGES)
def test_bars_whiskers_and_dots_are_drawn(visit: Callable[..., Any], name: str) -> None:
    page = visit(name)
    for drawn, fewest in ((".whisker", 30), (".bar", 8), (".dot", 4), (".reference", 4)):
        measure = "all => all.map(each => each.getBoundingClientRect()).map(box => box.width + box.height)"
        sizes = page.eval_on_selector_all(f"svg.strip {drawn}", measure)
        assert len(sizes) >= fewest
        assert min(sizes) > 3, drawn


@pytest.mark.parametrize("name", PAGES)
def test_no_name_or_number_is_cut_off(visit: Callable[..., Any], name: str) -> None:
    assert visit(name).evaluate(CUT_TEXTS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["test", "score"])
def test_every_text_stands_out(visit: Callable[..., Any], name: str, scheme: str) -> None:
    page = visit(name, scheme=scheme)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(paper) < 60) if scheme == "dark" else (min(paper) > 240)
    texts = page.evaluate(TEXTS)
    assert len(texts) >= 8  # pairs of colours
    assert {text: contrast(ink, behind) for text, ink, behind in texts if contrast(ink, behind) < 4.5} == {}


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(visit: Callable[..., Any], name: str) -> None:
    page = visit(name, width=360)
    opened = page.eval_on_selector_all("details:not([open])", "all => all.map(each => { each.open = true; })")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    outside = "all => all.filter(each => each.getBoundingClientRect().right > 360).map(each => each.outerHTML)"
    assert page.eval_on_selector_all(".scroll, h1, h2, h3, p, figcaption, dl, audio, summary", outside) == []
    wide = page.locator(".scroll.heat").first
    assert wide.evaluate("each => { each.scrollLeft = 60; return each.scrollLeft; }") > 20
    assert wide.locator("svg.names").bounding_box()["x"] == pytest.approx(wide.bounding_box()["x"], abs=1)
    assert len(opened) > 1
    page.eval_on_selector_all("details", "all => all.forEach(each => { each.open = false; })")


def test_keyboard_reaches_everything(visit: Callable[..., Any]) -> None:
    page = visit("test")
    page.evaluate(WATCH_FOCUS)
    for _ in range(30):
        page.keyboard.press("Tab")
    stops = page.evaluate("window.stops")
    assert stops[0] == ["a", "skip", "Skip to the numbers"]
    shown = "all => all.filter(each => each.checkVisibility()).map(each => each.ariaLabel)"
    regions = page.eval_on_selector_all(".scroll", shown)
    assert len(regions) > 5
    assert set(regions) <= {said for _, css_class, said in stops if css_class.startswith("scroll")}
    assert {"audio", "summary", "a"} <= {tag for tag, _, _ in stops}


def test_skip_link_leads_to_the_numbers(visit: Callable[..., Any]) -> None:
    page = visit("long")
    page.keyboard.press("Tab")
    assert page.locator("a.skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Summary of all systems"


def test_audio_can_be_played(visit: Callable[..., Any]) -> None:
    page = visit("test")
    page.wait_for_function("document.querySelector('audio').readyState >= 1")
    assert page.evaluate("document.querySelector('audio').duration") == pytest.approx(0.5)


def test_paper_is_white_and_shows_closed_comparisons(visit: Callable[..., Any]) -> None:
    page = visit("score", scheme="dark")
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = false)")
    table = page.locator("#comparisons details table").first
    assert not table.is_visible()
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert table.evaluate("each => each.checkVisibility() && each.getBoundingClientRect().height > 50")
    assert not page.locator("nav").is_visible()
