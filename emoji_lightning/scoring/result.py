"""What scoring gives: numbers of each system, comparisons, and a line for every utterance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emoji_lightning.embedding.extract import EmbedReport
from emoji_lightning.errors import AudioError, join_problems
from emoji_lightning.evaluation.comparison import Comparison
from emoji_lightning.evaluation.evaluation import Evaluation

FORMAT_VERSION = 1
REAL_SPEECH = "real speech"


@dataclass(frozen=True)
class UtteranceScore:
    """An utterance, or a text that a system lacks.

    Attributes:
        id: Of its row; `TEXT@SYSTEM` for a text that the system lacks.
        system: Who spoke it.
        text_id: The text, by the column that tells texts apart; empty where none does.
        asked: The label that it was asked to express.
        heard: The likeliest label; empty where nothing was heard.
        probability_asked: Of `asked`; None where nothing was heard.
        probability_heard: Of `heard`; None where nothing was heard.
        status: "heard", "missing", "failed" or "unknown".
        reason: Why it was not heard; empty where it was.
        where: Its place in the manifest, as errors name it; empty for a text that the system lacks.
        row: Its row in the manifest; None for a text that the system lacks.
    """

    id: str
    system: str
    text_id: str
    asked: str
    heard: str = ""
    probability_asked: float | None = None
    probability_heard: float | None = None
    status: str = "heard"
    reason: str = ""
    where: str = field(default="", repr=False)
    row: int | None = field(default=None, repr=False)

    @property
    def correct(self) -> bool | None:
        """Whether the label that was asked for is the one that is heard; None where nothing was heard."""
        return self.heard == self.asked if self.status == "heard" else None


@dataclass(frozen=True)
class SystemScore:
    """How well one system is understood.

    Attributes:
        name: The system.
        evaluation: Numbers over the utterances that were heard.
        utterances: All that it was asked for, without labels that the head does not know.
        file: The manifest of real speech; None for a system of the manifest itself.
        unknown: Label that the head does not know -> number of utterances; of real speech.
    """

    name: str
    evaluation: Evaluation
    utterances: Sequence[UtteranceScore] = field(repr=False)
    file: str | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_asked(self) -> int:
        """How many utterances it was asked for, heard or not."""
        return len(self.utterances)

    @property
    def num_heard(self) -> int:
        """How many were heard: those that the numbers are of."""
        return sum(each.status == "heard" for each in self.utterances)

    def absent(self, status: str) -> list[UtteranceScore]:
        """Return what is "missing" or "failed"."""
        return [each for each in self.utterances if each.status == status]

    @property
    def accuracy_counting_absent(self) -> float:
        """Share of what was asked for that is heard as asked; what is absent counts as wrong."""
        return sum(each.correct is True for each in self.utterances) / self.num_asked

    def to_dict(self) -> dict[str, Any]:
        """Return the system's part of `score.json`."""
        absent = {
            status: [{"id": each.id, "reason": each.reason} for each in self.absent(status)]
            for status in ("missing", "failed")
        }
        of_file = {} if self.file is None else {"file": self.file, "name": self.name, "unknown": dict(self.unknown)}
        counts = {"num_asked": self.num_asked, "num_heard": self.num_heard}
        counting_absent = {"accuracy_counting_absent": self.accuracy_counting_absent}
        return of_file | counts | self.evaluation.to_dict() | absent | counting_absent


@dataclass(frozen=True)
class Score:
    """What `score` gives; `to_dict()` is `score.json`.

    Attributes:
        checkpoint: File, digest, encoder, labels and temperature of the head, and its own test.
        manifest: File and number of rows.
        settings: What the numbers depend on.
        unknown: Label that the head does not know -> how many utterances were dropped for it.
        systems: By name, in the order of the manifest.
        reference: Real speech, scored in the same way.
        comparisons: Every two systems, on the texts that they share.
        utterances: Every row of the manifest, and every text that a system lacks.
        versions: Of the programs.
        notes: What a reader should know, in sentences.
        embedded: What was embedded now and what was known: of real speech, if there is some, and of the manifest.
    """

    checkpoint: Mapping[str, Any]
    manifest: Mapping[str, Any]
    settings: Mapping[str, Any]
    unknown: Mapping[str, int]
    systems: Mapping[str, SystemScore]
    reference: SystemScore | None
    comparisons: Sequence[Comparison]
    utterances: Sequence[UtteranceScore] = field(repr=False)
    versions: Mapping[str, str]
    notes: Sequence[str] = ()
    embedded: Sequence[EmbedReport] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `score.json`; it names no place on this machine."""
        return {
            "format_version": FORMAT_VERSION,
            "checkpoint": dict(self.checkpoint),
            "manifest": dict(self.manifest),
            "settings": dict(self.settings),
            "unknown": dict(self.unknown),
            "systems": {name: system.to_dict() for name, system in self.systems.items()},
            "reference": None if self.reference is None else self.reference.to_dict(),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "versions": dict(self.versions),
        }

    @property
    def scored(self) -> list[SystemScore]:
        """All systems, and real speech if there is some."""
        return [*self.systems.values(), *([] if self.reference is None else [self.reference])]

    @property
    def failed(self) -> list[UtteranceScore]:
        """Rows whose audio is not there or cannot be used, also of real speech; not texts that a system lacks."""
        absent = (each for system in self.scored for each in system.utterances if each.status != "heard")
        return [each for each in absent if each.row is not None]

    def check_failed(self, max_failed: int) -> None:
        """Refuse a score with too much audio that cannot be used.

        Raises:
            AudioError: There is more than `max_failed`; names files and reasons.
        """
        if len(self.failed) > max_failed:
            num_asked = sum(system.num_asked for system in self.scored)
            raise AudioError(
                f"{list_failed(self.failed)}\n{len(self.failed)} of {num_asked} utterances have audio that is not "
                "there or cannot be used; all others are scored. Correct these and score again (only what is new is "
                "embedded), or allow them with --max-failed N"
            )


def list_failed(utterances: Sequence[UtteranceScore]) -> str:
    """Return a line for each utterance that was not heard: its place and the reason."""
    return join_problems([f"{each.where}: {each.reason}" for each in utterances])
