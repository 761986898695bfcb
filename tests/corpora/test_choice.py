"""Every text is kept once or dropped, whatever the systems did with it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tts_folders import read_dropped, write_texts, write_wav

from emoji_lightning.corpora.choice import Candidate, choose
from emoji_lightning.corpora.scan import AudioFacts
from emoji_lightning.corpora.systems import parse_systems
from emoji_lightning.corpora.voiced import voice_texts
from emoji_lightning.errors import AudioError, ManifestError
from emoji_lightning.manifest import folders, read_manifest

FACTS = AudioFacts(1.0, 8000, 1, "WAV", "PCM_16", "", "", 0.1, -20.0, 0.0, 0.0, 0.0, 0.0)
# What a system did with a text: no file, one that cannot be decoded, a good one.
FATES = st.lists(st.lists(st.sampled_from(["none", "bad", "good"]), min_size=3, max_size=3), max_size=30)


@pytest.mark.parametrize("keep", ["first", "all"])
@given(fates=FATES)
def test_every_text_is_kept_once_or_dropped_and_preference_is_respected(keep: str, fates: list[list[str]]) -> None:
    candidates = [
        [Candidate(row, str(place), fate) for place, fate in enumerate(each) if fate != "none"]
        for row, each in enumerate(fates)
    ]

    def check(asked: Sequence[Candidate]) -> list[AudioFacts | AudioError]:
        return [FACTS if each.path == "good" else AudioError("bad") for each in asked]

    choice = choose(candidates, keep, check)
    kept = [(each.row, int(each.system)) for each, _ in choice.kept]
    failed = [(each.row, int(each.system)) for each, _ in choice.failed]
    good = [(row, place) for row, each in enumerate(fates) for place, fate in enumerate(each) if fate == "good"]
    bad = [(row, place) for row, each in enumerate(fates) for place, fate in enumerate(each) if fate == "bad"]
    if keep == "all":
        assert (kept, failed) == (good, bad)
    else:
        firsts = dict(reversed(good))
        assert kept == sorted(firsts.items())
        assert failed == [(row, place) for row, place in bad if place < firsts.get(row, 3)]


NAMES = st.text("ab1.@ ä", min_size=1, max_size=4).map(str.strip).filter(lambda name: name.strip(".") == name != "")


PLANS = st.dictionaries(NAMES, st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8)
UNMATCHED = ["y.wav", "z.wav"]


@settings(deadline=None, max_examples=40)
@given(plan=PLANS)
def test_no_text_is_lost_whatever_the_order_of_the_folders(plan: dict[str, tuple[int, int]]) -> None:
    """0: no file, 1: one that is no audio, 2: a good one, in each of two systems."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        make_systems(folder, plan)
        texts = write_texts(folder, list(plan))
        systems = parse_systems([str(folder / "flash"), str(folder / "pro")])
        expected = {text: "flash" if fates[0] == 2 else "pro" for text, fates in plan.items() if 2 in fates}
        if not expected:
            with pytest.raises((AudioError, ManifestError), match=r"no text is voiced|can be decoded"):
                voice_texts(texts, systems, output=folder / "corpus.csv")
            return
        record = voice_texts(texts, systems, output=folder / "corpus.csv")
        assert record["unmatched"] == {"flash": UNMATCHED, "pro": UNMATCHED}
        corpus = read_manifest(folder / "corpus.csv", check_audio=True)
        assert dict(zip(corpus.ids, corpus.column("system"), strict=True)) == expected
        assert corpus.ids == [text for text in plan if text in expected]
        lost = {each["id"] for each in read_dropped(folder / "corpus.dropped.csv") if "kept from" not in each["reason"]}
        assert lost == plan.keys() - expected.keys()
        written = {file: file.read_bytes() for file in folder.glob("corpus*")}
        walk = folders._walk
        patch.setattr(folders, "_walk", lambda *where: sorted(walk(*where), reverse=True))
        voice_texts(texts, systems, output=folder / "corpus.csv")
        assert written == {file: file.read_bytes() for file in folder.glob("corpus*")}


def make_systems(folder: Path, plan: dict[str, tuple[int, int]]) -> None:
    for place, system in enumerate(("flash", "pro")):
        for file in UNMATCHED:
            write_wav(folder / system / file, 999)
        for number, (text, fates) in enumerate(plan.items()):
            if fates[place] == 2:
                write_wav(folder / system / f"{text}.wav", number)
            elif fates[place] == 1:
                (folder / system / f"{text}.wav").write_text("no audio")
