"""What was asked and what was heard -> the numbers of each system."""

from collections.abc import Sequence

import numpy as np

from emoji_lightning.errors import AudioError
from emoji_lightning.evaluation.evaluation import Evaluation, evaluate
from emoji_lightning.evaluation.resampling import Resampling
from emoji_lightning.scoring.asked import ONLY_SYSTEM, UTTERANCE
from emoji_lightning.scoring.hearing import HEARD, MISSING, NOT_KNOWN, Hearing
from emoji_lightning.scoring.result import REAL_SPEECH, SystemScore, UtteranceScore, list_failed


def list_utterances(hearing: Hearing, names: Sequence[str]) -> list[UtteranceScore]:
    """Return a line for every row, and one for every text that a system lacks.

    Args:
        hearing: Of N rows.
        names: K labels in the order of their ids.
    """
    rows = [_describe_row(hearing, names, row, name) for row, name in enumerate(hearing.asked.manifest.ids)]
    lacking = [
        UtteranceScore(
            id=f"{each.item.text}@{each.system}",
            system=each.system,
            text_id=each.item.text,
            asked=names[each.item.label],
            status=MISSING,
            reason="no row of this system has this text for this emoji; another system has it",
        )
        for each in hearing.asked.lacking
    ]
    return rows + lacking


def _describe_row(hearing: Hearing, names: Sequence[str], row: int, name: str) -> UtteranceScore:
    asked = hearing.asked
    heard = hearing.status[row] == HEARD
    probabilities = hearing.probabilities[row]
    top = int(probabilities.argmax()) if heard else 0
    label = int(asked.labels[row])
    return UtteranceScore(
        id=name,
        system=asked.systems[row],
        text_id=asked.texts[row] if asked.texts else "",
        # In the spelling of the checkpoint, so that `heard` can be held against it.
        asked=names[label] if label >= 0 else asked.asked[row],
        heard=names[top] if heard else "",
        probability_asked=float(probabilities[label]) if heard else None,
        probability_heard=float(probabilities[top]) if heard else None,
        status=hearing.status[row],
        reason=hearing.reasons[row],
        where=asked.manifest.where(row),
        row=row,
    )


def score_systems(
    hearing: Hearing,
    utterances: Sequence[UtteranceScore],
    *,
    names: Sequence[str],
    resampling: Resampling,
) -> dict[str, SystemScore]:
    """Return the numbers of each system, in the order of the manifest.

    Raises:
        AudioError: Nothing was heard of a system.
    """
    scores = {}
    for system in dict.fromkeys(hearing.asked.systems):
        own = [each for each in utterances if each.system == system and each.status != NOT_KNOWN]
        if own:
            evaluation = _evaluate(hearing, own, name=system, names=names, resampling=resampling)
            scores[system] = SystemScore(system, evaluation, own)
    return scores


def score_reference(hearing: Hearing, *, names: Sequence[str], resampling: Resampling) -> SystemScore:
    """Return the numbers of real speech.

    Raises:
        AudioError: Nothing of it was heard.
    """
    own = [each for each in list_utterances(hearing, names) if each.status != NOT_KNOWN]
    evaluation = _evaluate(hearing, own, name=REAL_SPEECH, names=names, resampling=resampling)
    asked = hearing.asked
    return SystemScore(REAL_SPEECH, evaluation, own, file=asked.manifest.source.name, unknown=asked.unknown)


def _evaluate(
    hearing: Hearing,
    own: Sequence[UtteranceScore],
    *,
    name: str,
    names: Sequence[str],
    resampling: Resampling,
) -> Evaluation:
    asked = hearing.asked
    rows = [each.row for each in own if each.status == HEARD and each.row is not None]
    if not rows:
        raise AudioError(_describe_silence(name, own, asked.manifest.source.name))
    by_utterance = asked.group_name == UTTERANCE
    return evaluate(
        np.asarray(asked.labels[rows]),
        hearing.probabilities[rows],
        names=names,
        groups=None if by_utterance else [asked.groups[row] for row in rows],
        group_name=asked.group_name,
        asked_only=True,
        resampling=resampling,
    )


def _describe_silence(name: str, own: Sequence[UtteranceScore], file: str) -> str:
    """Return the error for a system of which nothing was heard."""
    who = "" if name == ONLY_SYSTEM else f" of {name}"
    cure = (
        "its audio lies below its own folder; correct its paths or leave --reference out"
        if name == REAL_SPEECH
        else "name the folder that holds the audio with --audio-root, or take the system out of the manifest"
    )
    return (
        f"{list_failed([each for each in own if each.where])}\n{file}: none of the {len(own)} utterances{who} was "
        f"heard; {cure}"
    )
