"""Decisions about suggestions, as a command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from pipelines.data.dataset import DataSet
from registry.errors import InputError, NotFoundError
from registry.reports.reviews import Candidate, Decision, Review, decision_on


@dataclass(frozen=True, slots=True)
class Choices:
    """Pictures by the beginning of their SHA-256, clips by name, and `SHA=CLASS`; nothing at all is false."""

    accept: Sequence[str] = ()
    accept_clips: Sequence[str] = ()
    reject: Sequence[str] = ()
    relabel: Sequence[str] = ()
    drop: Sequence[str] = ()
    undo: Sequence[str] = ()

    def __bool__(self) -> bool:
        return any(astuple(self))


def decide(data: DataSet, review: Review, choices: Choices, who: str) -> list[Decision]:
    """Record what was chosen, all of it or, where one choice cannot be, nothing. Those that are new.

    Raises InputError and NotFoundError for pictures, clips and classes that are none, and for two choices about one picture.
    """
    decisions = [decision_on(review.candidate(sha), "relabel", who) for sha in choices.accept]
    decisions += [decision_on(item, "relabel", who) for clip in choices.accept_clips for item in _of_clip(review, clip)]
    decisions += [decision_on(review.candidate(sha), "keep", who) for sha in choices.reject]
    decisions += [_relabelled(data, review, choice, who) for choice in choices.relabel]
    decisions += [decision_on(review.candidate(sha), "drop", who) for sha in choices.drop]
    decisions += [decision_on(review.candidate(sha), "undo", who) for sha in choices.undo]
    by_picture = {decision.sha256: decision for decision in decisions}
    for decision in decisions:
        other = by_picture[decision.sha256]
        if (other.action, other.label) != (decision.action, decision.label):
            raise InputError(f"picture {decision.sha256[:12]}", "is decided in two ways", "choose one of them")
    return review.record(by_picture.values())


def _of_clip(review: Review, clip: str) -> list[Candidate]:
    candidates = [candidate for candidate in review.candidates() if candidate.clip == clip]
    if not candidates:
        raise NotFoundError(f"clip '{clip}'", "nothing is suggested for it", "`modelyard data review` lists suggestions")
    return candidates


def _relabelled(data: DataSet, review: Review, choice: str, who: str) -> Decision:
    sha, equals, label = choice.partition("=")
    if not equals or label not in data.manifest.labels:
        classes = ", ".join(data.manifest.labels[:20])
        raise InputError(f"--relabel {choice}", "does not name a class", f"give SHA=CLASS, with one of {classes}")
    if data.manifest.task == "detect":
        raise InputError(f"--relabel {choice}", "this data set has boxes", "accept, reject or drop what is proposed")
    return decision_on(review.candidate(sha), "relabel", who, label)
