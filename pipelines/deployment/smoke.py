"""The last check before traffic goes to a new endpoint: it answers as the trained model did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.bundles.store import smoke_folder
from registry.errors import IntegrityError
from registry.files import read_bytes, read_record
from registry.records import Record

if TYPE_CHECKING:
    from serving.targets.contract import Ask

_TOLERANCE = 1e-2
"""How far an endpoint's probability may be from the trained model's; the parity gate is stricter."""


_OF_BOXES = 0.1
"""The same of the score of a box, which a single grey level moves."""
_REMEDY = "export the version again"


class _Image(Record):
    file: str
    probabilities: list[float]
    truth: str = ""
    boxes: list[list[float]] = Field(default_factory=list)


class _Expected(Record):
    """What the trained model answered, as it lies beside a bundle.

    `least` is the score from which on a detector answers, 0 for a classifier.
    """

    labels: list[str]
    images: list[_Image]
    least: float = 0.0


def smoke_test(name: str, ask: Ask, bundle: Path, count: int) -> None:
    """Send held-out frames to an endpoint; raise IntegrityError unless it answers as the trained model did."""
    folder = smoke_folder(bundle)
    expected = read_record(folder / "expected.json", _Expected, "what a smoke test needs", _REMEDY)
    for image in expected.images[:count]:
        answer = ask(read_bytes(folder / image.file, _REMEDY))
        if unknown := answer.keys() - set(expected.labels):
            raise IntegrityError(name, f"answers for other classes ({', '.join(sorted(unknown))})", "export the version again")
        least, tolerance = expected.least, _OF_BOXES if expected.least else _TOLERANCE
        pairs = zip(expected.labels, image.probabilities, strict=True)
        differences = [
            abs(_at_least(answer.get(label, 0.0), least) - _at_least(right, least))  # a detector names what it saw
            for label, right in pairs
        ]
        if not all(difference <= tolerance for difference in differences):  # NaN is not near
            worst = max(differences)
            raise IntegrityError(name, f"answers {worst:.3g} away from the trained model", "export the version again")


def _at_least(score: float, least: float) -> float:
    """A score that is not served counts as the least that is: it may lie just below. NaN stays NaN."""
    return max(score, least)
