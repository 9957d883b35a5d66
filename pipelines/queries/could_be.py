"""Which classes an answer could as well mean, by the prediction sets of the version's own evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipelines.queries.answers import Answer
from registry.protocols import Entry
from registry.records import Evaluation
from registry.reports.accuracy import own_evaluations


def _threshold_of(evaluation: Evaluation) -> float | None:
    """The least probability of a class in a set; None where the sets were made from too few clips to promise anything."""
    return evaluation.sets.threshold if evaluation.sets and evaluation.sets.guaranteed else None


@dataclass
class PredictionSetOf:
    """Adds `could_be` to answers of one model's versions. The ledger is read at the first answer.

    An endpoint may be served by two versions at a time (a canary), so each answer's own `served_by` says whose threshold it is.
    """

    model: str
    entries: Callable[[], Sequence[Entry]]
    _thresholds: dict[str, float] | None = field(default=None, init=False)

    def of(self, answer: Answer) -> Answer:
        """The answer with every class that is probable enough, most probable first.

        It is left as it is where the sets were not measured, or on too few clips for a promise.
        """
        threshold = self._threshold(answer.served_by)
        if threshold is None or not answer.probabilities:
            return answer
        ordered = sorted(answer.probabilities.items(), key=lambda item: -item[1])
        least = min(threshold, ordered[0][1])  # the most probable class is always one of them
        return answer.model_copy(update={"could_be": [label for label, probability in ordered if probability >= least]})

    def _threshold(self, served_by: str | None) -> float | None:
        version = (served_by or "").partition(" ")[0]
        if self._thresholds is None:
            scored = own_evaluations(self.entries())
            measured = {f"{name}/{number}": _threshold_of(evaluation) for (name, number, _), evaluation in scored.items()}
            self._thresholds = {version: threshold for version, threshold in measured.items() if threshold is not None}
        return self._thresholds.get(version)
