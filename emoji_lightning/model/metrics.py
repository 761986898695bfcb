"""What a split is measured by while training."""

from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score


class MacroF1(MulticlassF1Score):
    """Mean F1 over all labels, absent ones as 0: torchmetrics' own macro average leaves those out."""

    def compute(self) -> Tensor:
        """Return a scalar."""
        return super().compute().mean()


def make_metrics(num_labels: int, prefix: str) -> MetricCollection:
    """Return macro-F1 and accuracy under names that begin with `prefix`."""
    return MetricCollection(
        {
            "macro_f1": MacroF1(num_labels, average="none"),
            "accuracy": MulticlassAccuracy(num_labels, average="micro"),
        },
        prefix=prefix,
    )
