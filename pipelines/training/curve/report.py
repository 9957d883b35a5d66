"""Curves as records: what people read, and what is kept in the ledger."""

from __future__ import annotations

from registry.records import Gain, Record

_NAMED = 3
"""Classes that are left out of a curve and named; of more, how many."""
_HAVE = {False: "has", True: "have"}


class CurvePoint(Record):
    """Accuracy of a head that learnt from so many clips, on clips that were left out, with the 90 % interval's ends."""

    clips: float
    accuracy: float
    low: float
    high: float


class ClassCurve(Record):
    """A class's curve: the share of its images that are recognized; `label` is empty for all classes together (top-1).

    `clips`: those in train; of all classes together the mean number. `scored`: clips that were left out and scored, in turns.
    `gain` is None, and `why` says the reason, where it cannot be measured. `without`: of all classes together, those that have
    too few clips to be measured.
    """

    label: str
    clips: float
    scored: int = 0
    points: tuple[CurvePoint, ...] = ()
    gain: Gain | None = None
    why: str = ""
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence."""
        if self.gain is None:
            return f"what more clips of {self._of} are worth cannot be measured: {self.why}"
        more = self.gain.clips
        counted = f"1 more clip of {self._of} is" if more == 1 else f"{more} more clips of {self._of} are"
        noise = "" if self.gain.low > 0 else "; it may be nothing"
        return f"{counted} worth {self.gain.points} (90 %){noise}"

    @property
    def _of(self) -> str:
        if self.label:
            return f"'{self.label}'"
        left_out = ", ".join(f"'{label}'" for label in self.without[:_NAMED])
        more = f" and {len(self.without) - _NAMED} others" if len(self.without) > _NAMED else ""
        return f"every class but {left_out}{more}, which {_HAVE[len(self.without) > 1]} too few," if left_out else "every class"


class Curves(Record):
    """The curves of a data set, by its digest: all classes together, and single ones, those that do worst first.

    `network` is what the features are of.
    """

    dataset: str
    network: str
    more: int
    overall: ClassCurve
    classes: list[ClassCurve]

    @property
    def gains(self) -> dict[str, Gain]:
        """What is predicted, by class."""
        return {curve.label: curve.gain for curve in self.classes if curve.gain is not None}
