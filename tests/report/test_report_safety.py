"""The page is one valid file that loads nothing and runs nothing, whatever texts it shows."""

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from page_reading import find, read_page, text_of
from report_inputs import FACTS, HOSTILE, make_errors, make_metrics, make_score

from emoji_lightning.report import Shown, write_score_report, write_test_report
from emoji_lightning.report import shown as shown_module

AUDIO = b"RIFF\x00\xff not really audio"


def hostile_score() -> dict[str, Any]:
    labels = (HOSTILE, "😭", "\"'><img src=x onerror=alert(1)>", "a\x00b\x1bc")
    score = make_score(labels, (f"{HOSTILE}1", "]]>--><!--", "two"))
    for numbers in score["systems"].values():
        numbers["missing"] = [{"id": HOSTILE, "reason": f"reason {HOSTILE}"}]
        numbers["intervals"]["method"] = HOSTILE
    score["reference"]["name"] = HOSTILE
    score["unknown"] = {HOSTILE: 2}
    score["settings"]["group"] = score["manifest"]["file"] = score["versions"][HOSTILE] = HOSTILE
    return score


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hostile")
    lost = folder / f"{HOSTILE.replace('/', '')}.wav"
    errors = [
        Shown(HOSTILE, HOSTILE, "😭", 0.9, HOSTILE, HOSTILE, lost),
        Shown("\udcff\ud83d", "a", "b", 0.5, "\u202e"),
    ]
    facts: dict[str, str | int | float] = {HOSTILE: HOSTILE}
    score = hostile_score()
    metrics = make_metrics(score["checkpoint"]["labels"], 60)
    metrics["calibration"]["fitted_on"] = HOSTILE
    write_test_report(folder / "test.html", HOSTILE, metrics, facts=facts, errors=errors)
    write_score_report(folder / "score.html", score, facts=facts, errors=errors)
    return {name: folder / f"{name}.html" for name in ("test", "score")}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "a.wav").write_bytes(AUDIO)
    errors = make_errors(folder / "a.wav")
    write_test_report(folder / "test.html", "test", make_metrics(), facts=FACTS, errors=errors)
    write_score_report(folder / "score.html", make_score(), facts=FACTS, errors=errors)
    return {name: folder / f"{name}.html" for name in ("test", "score")}


@pytest.mark.parametrize("name", ["test", "score"])
def test_hostile_text_stays_text(hostile: dict[str, Path], name: str) -> None:
    root = read_page(hostile[name])
    tags = {each.tag for each in root.iter()}
    assert not tags & {"script", "img", "b", "iframe", "object", "base", "form"}
    assert not [key for each in root.iter() for key in each.attrib if key.startswith("on") or key == "style"]
    assert len(find(root, "style")) == 1
    assert text_of(root).count(HOSTILE) >= 10
    assert [each for each in root.iter("title") if HOSTILE in (each.text or "")]
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", hostile[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["plain", "hostile"])
@pytest.mark.parametrize("name", ["test", "score"])
def test_every_drawing_is_valid_xml(request: pytest.FixtureRequest, kind: str, name: str) -> None:
    page = request.getfixturevalue(kind)[name].read_text(encoding="utf-8")
    drawings = re.findall(r"<svg\b.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) > 20
    for drawing in drawings:
        assert ET.fromstring(drawing).tag == "svg"


@pytest.mark.parametrize("name", ["test", "score"])
def test_nothing_is_loaded_from_elsewhere(plain: dict[str, Path], name: str) -> None:
    page = plain[name].read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"@import|url\(", page)
    places = [each.get(key) for each in read_page(plain[name]).iter() for key in ("src", "href") if each.get(key)]
    assert len(places) > 5
    assert all(place.startswith(("#", "data:")) for place in places)


@pytest.mark.parametrize("name", ["test", "score"])
def test_policy_forbids_all_but_the_one_style_and_the_audio(plain: dict[str, Path], name: str) -> None:
    root = read_page(plain[name])
    style = find(root, "style")[0].text or ""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [each.get("content") for each in root.iter("meta") if each.get("http-equiv")]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:"


@pytest.mark.parametrize("name", ["test", "score"])
def test_links_lead_somewhere_and_headings_are_in_order(plain: dict[str, Path], name: str) -> None:
    root = read_page(plain[name])
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert {link.get("href", "").removeprefix("#") for link in root.iter("a")} <= set(ids)
    levels = [int(each.tag[1]) for each in root.iter() if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(region.get("tabindex") == "0" and region.get("aria-label") for region in find(root, "div", "scroll"))
    assert {"header", "nav", "main", "footer"} <= {each.tag for each in root.iter()}


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("a.wav", "audio/wav"),
        ("a.FLAC", "audio/flac"),
        ("a.ogg", "audio/ogg"),
        ("a.mp3", "audio/mpeg"),
        ("a.m4a", "audio/mp4"),
    ],
)
def test_audio_is_embedded_whole_with_its_type(tmp_path: Path, file: str, kind: str) -> None:
    (tmp_path / file).write_bytes(AUDIO)
    errors = make_errors(tmp_path / file)
    write_test_report(tmp_path / "report.html", "test", make_metrics(num=50), facts=FACTS, errors=errors)
    (player,) = find(read_page(tmp_path / "report.html"), "audio")
    head, _, content = player.get("src", "").partition(",")
    assert (head, base64.b64decode(content)) == (f"data:{kind};base64", AUDIO)
    assert "controls" in player.attrib
    assert "autoplay" not in player.attrib


def test_audio_that_cannot_be_embedded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long.wav").write_bytes(AUDIO)
    monkeypatch.setattr(shown_module, "MAX_AUDIO_BYTES", 5)
    errors = [Shown("1", "a", "b", 0.9, audio=tmp_path / name) for name in ("long.wav", "gone.wav")]
    write_test_report(tmp_path / "report.html", "test", make_metrics(num=50), facts=FACTS, errors=errors)
    page = read_page(tmp_path / "report.html")
    assert not find(page, "audio")
    assert "long.wav has 0 MB and is not embedded" in text_of(page)
    assert "gone.wav cannot be read: No such file or directory" in text_of(page)


def test_a_report_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    metrics = make_metrics(num=50)
    del metrics["confusion"]
    with pytest.raises(KeyError, match="confusion"):
        write_test_report(tmp_path / "report.html", "test", metrics, facts=FACTS, errors=[])
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("report.html", "old")]
