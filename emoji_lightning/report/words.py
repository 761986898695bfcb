"""What the pages call the metrics and the two sides of the confusion matrix."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a number is called.

    Attributes:
        key: In `metrics.json`.
        name: On the page.
        meaning: In a few words.
        is_share: Whether it lies between 0 and 1 and the more the better, so that it can be drawn on one axis.
    """

    key: str
    name: str
    meaning: str
    is_share: bool = True


TEST_METRICS = (
    Metric("accuracy", "accuracy", "share of utterances whose most probable label is the true one"),
    Metric("balanced_accuracy", "balanced accuracy (UAR)", "mean recall over the labels that occur"),
    Metric("macro_f1", "macro-F1", "mean F1 over all labels"),
    Metric("top3_accuracy", "top-3 accuracy", "share whose true label is among the three most probable"),
    Metric("mean_probability", "mean probability", "of the true label"),
    Metric("nll", "negative log-likelihood", "nats per utterance; the lower the better", is_share=False),
    Metric("ece", "calibration error (ECE)", "of the top probability; the lower the better", is_share=False),
)

SCORE_METRICS = (
    Metric("accuracy", "emoji accuracy", "share of utterances that are heard as the emoji asked for"),
    Metric("balanced_accuracy", "macro recall", "mean recall over the emoji asked for"),
    Metric("macro_f1", "macro-F1", "mean F1 over the emoji asked for"),
    Metric("mean_probability", "mean probability", "of the emoji asked for"),
)

LABEL_METRICS = ("recall", "precision", "f1")
"""Keys of what is reported for each label."""


@dataclass(frozen=True)
class Words:
    """The two sides of a confusion.

    Attributes:
        truth: Where the label of a row comes from.
        answer: Where the label of a column comes from.
    """

    truth: str
    answer: str


TEST_WORDS = Words("true", "predicted")
SCORE_WORDS = Words("asked", "heard")

_OF_TEXTS = ("text_id", "text", "source_id")


def name_units(group: str) -> str:
    """Name what a bootstrap draws, in the plural.

    Args:
        group: The column of the groups, or `utterance`.

    >>> name_units("text_id"), name_units("utterance"), name_units("speaker")
    ('texts', 'utterances', 'values of speaker')
    """
    return "texts" if group in _OF_TEXTS else "utterances" if group == "utterance" else f"values of {group}"
