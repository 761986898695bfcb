"""What TensorBoard shows of an evaluated split: confusion matrix, reliability diagram, precision-recall curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.evaluation.evaluation import Evaluation
from emoji_lightning.labels import ascii_alias

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL_INCHES, MARGIN_INCHES = 0.5, 2.5


def log_curves(
    folder: Path,
    split: str,
    evaluation: Evaluation,
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    *,
    step: int = 0,
) -> None:
    """Write an evaluated split into TensorBoard's event files.

    Args:
        folder: TensorBoard's log folder.
        split: "dev" or "test", the first part of each tag.
        evaluation: The numbers of the split.
        labels: (N,) int64 true labels.
        probabilities: (N, K) float32.
        step: The optimiser step at which the curves stand.
    """
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        writer.add_figure(f"{split}/confusion", draw_confusion(evaluation), step)
        writer.add_figure(f"{split}/reliability", draw_reliability(evaluation), step)
        for place, label in enumerate(evaluation.names):
            tag = f"{split}/precision_recall/{ascii_alias(label)}"
            writer.add_pr_curve(tag, labels == place, probabilities[:, place], step)


def draw_confusion(evaluation: Evaluation) -> "Figure":
    """Draw the confusion matrix: a row per true label, shaded by its share of the row, with the counts."""
    from matplotlib.figure import Figure

    counts = np.asarray(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = MARGIN_INCHES + CELL_INCHES * len(counts)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    names = drawable_names(evaluation.names)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    for (row, column), count in np.ndenumerate(counts):
        colour = "black" if shares[row, column] > 0.5 else "white"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    return figure


def draw_reliability(evaluation: Evaluation) -> "Figure":
    """Draw accuracy over confidence in the bins of the expected calibration error, beside the diagonal."""
    from matplotlib.figure import Figure

    bins = [each for each in evaluation.to_dict()["reliability"] if each["count"]]
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.plot([each["confidence"] for each in bins], [each["accuracy"] for each in bins], marker="o")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    return figure


def drawable_names(labels: Sequence[str]) -> list[str]:
    """Return the labels as matplotlib's font can draw them: emoji by their names, class names as they are."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    return [label if all(font.get_char_index(ord(each)) for each in label) else ascii_alias(label) for label in labels]
