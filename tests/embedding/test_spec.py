import json
from dataclasses import fields, replace
from typing import Any

import pytest

from emoji_lightning.embedding.logmel import LogMelEncoder
from emoji_lightning.embedding.spec import FORMAT_VERSION, EmbeddingSpec
from emoji_lightning.errors import StoreError

SPEC = EmbeddingSpec(encoder="emotion2vec_base", dim=768, weights_sha256="ab" * 32, config_sha256="cd" * 32)
OTHER_VALUES: dict[str, Any] = {
    "dim": 1024,
    "weights_sha256": "ef" * 32,
    "config_sha256": "01" * 32,
    "granularity": "frame",
    "sample_rate": 24_000,
    "resampler": "kaldi",
    "precision": "bf16",
    "device": "cuda",
    "long_audio": "chunk 60 s",
    "format_version": 2,
}


def test_every_field_but_the_name_is_tried_below() -> None:
    assert set(OTHER_VALUES) == {field.name for field in fields(EmbeddingSpec)} - {"encoder"}


def test_a_spec_goes_through_json_unchanged() -> None:
    for spec in (SPEC, LogMelEncoder().spec):
        assert EmbeddingSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_fields_left_out_take_their_defaults() -> None:
    spec = EmbeddingSpec.from_dict({"encoder": "mine", "dim": 3})
    assert spec == EmbeddingSpec(encoder="mine", dim=3)
    assert (spec.sample_rate, spec.granularity, spec.resampler) == (16_000, "utterance", "soxr HQ")


@pytest.mark.parametrize(("name", "value"), OTHER_VALUES.items())
def test_whatever_changes_vectors_is_a_difference_in_words(name: str, value: Any) -> None:
    other = replace(SPEC, **{name: value})
    assert SPEC.difference(other) == f"{name} {getattr(SPEC, name)!r} and {value!r}"
    assert SPEC.digest != other.digest


def test_the_same_weights_under_another_name_are_the_same() -> None:
    other = replace(SPEC, encoder="my_copy")
    assert SPEC.difference(other) == ""
    assert SPEC.digest == other.digest


def test_without_weights_the_name_decides() -> None:
    spec, other = (EmbeddingSpec(encoder=name, dim=768) for name in ("logmel", "mfcc"))
    assert spec.difference(other) == "encoder 'logmel' and 'mfcc'"
    assert spec.digest != other.digest


def test_all_differences_are_named_at_once() -> None:
    difference = LogMelEncoder().spec.difference(replace(SPEC, dim=1024))
    assert difference.startswith("encoder 'logmel' and 'emotion2vec_base', dim 768 and 1024, weights_sha256 None and")


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        ("whole", "error 120 s", "whole"),
        ("whole", "chunk 60 s", None),
        ("error 120 s", "error 60 s", "error 120 s"),
        ("error 60 s", "error 120 s", "error 120 s"),
        ("error 60 s", "chunk 60 s", "chunk 60 s"),
        ("error 120 s", "chunk 60 s", None),
        ("chunk 60 s", "error 60 s", "chunk 60 s"),
        ("chunk 60 s", "error 120 s", None),
        ("chunk 60 s", "chunk 60 s", "chunk 60 s"),
        ("chunk 60 s", "chunk 30 s", None),
        ("truncate 60 s", "chunk 60 s", None),
    ],
)
def test_ways_of_treating_long_audio_mix_only_where_no_utterance_falls_under_both(
    mine: str, theirs: str, merged: str | None
) -> None:
    spec = replace(SPEC, long_audio=mine).merge(replace(SPEC, long_audio=theirs))
    assert spec == (merged and replace(SPEC, long_audio=merged))
    assert replace(SPEC, long_audio=mine).merge(replace(SPEC, long_audio=theirs, precision="bf16")) is None


def test_a_description_names_encoder_weights_and_dimension() -> None:
    assert SPEC.describe() == "emotion2vec_base (weights abababababab, 768-d, cpu, fp32)"
    assert LogMelEncoder().spec.describe() == "logmel (768-d, cpu, fp32)"


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"dim": 768}, r"'encoder' is missing"),
        ({"encoder": "x"}, r"'dim' is missing"),
        ({"encoder": "x", "dim": 768, "colour": 1}, r"'colour' is not one of \['config_sha256', 'device', 'dim'"),
        ({"encoder": "x", "dim": "768"}, r"'dim' is '768', a whole number is needed"),
        ({"encoder": "x", "dim": 768.0}, r"'dim' is 768\.0, a whole number is needed"),
        ({"encoder": "x", "dim": True}, r"'dim' is True, a whole number is needed"),
        ({"encoder": "x", "dim": 0}, r"'dim' is 0, at least 1 is needed"),
        ({"encoder": None, "dim": 768}, r"'encoder' is None, text is needed"),
        ({"encoder": "x", "dim": 768, "weights_sha256": 5}, r"'weights_sha256' is 5, text is needed"),
        ({"encoder": "x", "dim": 768, "device": None}, r"'device' is None, text is needed"),
    ],
)
def test_a_wrong_field_is_named(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(StoreError, match=problem):
        EmbeddingSpec.from_dict(values)


def test_a_newer_layout_asks_for_a_newer_program_and_for_nothing_else() -> None:
    values = {"encoder": "x", "dim": 768, "format_version": FORMAT_VERSION + 1, "unheard_of": 1}
    with pytest.raises(
        StoreError, match=r"^format_version is 2, this program reads 1; install a newer emoji-lightning$"
    ):
        EmbeddingSpec.from_dict(values)
