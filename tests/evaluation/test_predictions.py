from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from emoji_lightning.evaluation import predictions
from emoji_lightning.evaluation.predictions import PredictionWriter, predictions_table


@pytest.mark.parametrize("num_utterances", [0, 1, 9, 10, 11, 47])
def test_predictions_written_in_parts_are_the_table_of_all(
    num_utterances: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictions, "ROWS_AT_ONCE", 10)
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((num_utterances, 3)).astype(np.float32)
    labels = rng.integers(-1, 3, num_utterances)
    ids, names = [f"u{row}" for row in range(num_utterances)], ["a", "b", "c"]
    writer = PredictionWriter(tmp_path, ids, names, checkpoint="c.ckpt")
    order = rng.permutation(num_utterances)
    for part in np.array_split(order, 4):
        outputs = {"row": part, "label": labels[part], "logits": logits[part]}
        batch = {name: torch.from_numpy(values) for name, values in outputs.items()}
        writer.on_predict_batch_end(None, None, batch, None, 0)  # type: ignore[arg-type]
    writer._finish(None, partial=False)
    pq.write_table(predictions_table(logits, labels, ids, names), tmp_path / "whole.parquet")
    written, expected = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("predictions", "whole"))
    assert written.num_rows == num_utterances
    assert written.equals(expected, check_metadata=True)
