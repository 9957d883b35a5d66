"""What was measured of an export."""

from __future__ import annotations

from registry.records.base import Record

_BUSY = 0.5


class Limits(Record):
    """How far a variant's answers may be from the trained model's before it is left out."""

    top1_agreement: float = 0.99
    max_abs_diff: float = 1e-3
    map_difference: float = 0.01


class ParityFigures(Record):
    """How far one exported variant's answers are from the trained model's, from image bytes.

    For a detector, `top1_agreement` is the share of the trained model's boxes that were found again with the same
    class, the differences are those of scores, and `map_difference` compares mAP50-95. `control_agreement` is the
    agreement after pairing every image with a wrong one: a measurement that would not notice a broken export does not
    drop here. `kept`: whether the variant is in the bundle; `note` says why it is not. `made`: whether there was anything
    to measure.
    """

    variant: str
    images: int
    top1_agreement: float
    max_abs_diff: float
    mean_abs_diff: float
    control_agreement: float
    control_max_abs_diff: float
    map_difference: float | None = None
    limits: Limits | None = None
    required: bool = True
    kept: bool = True
    made: bool = True
    note: str = ""


class Latency(Record):
    """Milliseconds from image bytes to answer, in a fresh process, after warm-up.

    Of `requests` requests in `rounds` rounds: p50 is the least of the rounds' medians, p95 that of the images' fastest answers,
    since what else the machine does makes an answer slower and never faster. `load`: the share of the processors that other
    processes kept busy meanwhile, None where it was not measured.
    """

    p50_ms: float
    p95_ms: float
    first_ms: float
    requests: int
    rounds: int = 1
    load: float | None = None

    @property
    def disturbed(self) -> bool:
        """Whether others kept more than half of the processors busy meanwhile, so that measuring again may give less."""
        return self.load is not None and self.load > _BUSY
