"""Evaluations and scores as one self-contained HTML page each, for a browser without a network."""

from emoji_lightning.report.report import write_score_report, write_test_report
from emoji_lightning.report.shown import Shown

__all__ = ["Shown", "write_score_report", "write_test_report"]
