"""What happened, as sentences. State is folded from these; the ledger keeps them in order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from registry.records import Evaluation, Finding, Latency, ModelVersion, ParityFigures, Record
from registry.stages import Stage


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def about(version: ModelVersion, digest: str) -> dict[str, Any]:
    """The fields by which every event names a version's exact bytes."""
    return {"model": version.model, "version": version.version, "created_ms": version.created_ms, "digest": digest}


class Event(Record):
    """Something that happened to one version's exact bytes."""

    model: str
    version: int
    created_ms: int
    digest: str

    @property
    def label(self) -> str:
        """The version's reference, for sentences."""
        return f"{self.model}/{self.version}"


class Trained(Event):
    """A run ended in a registered version, at a cost."""

    kind: Literal["trained"] = "trained"
    trainer: str
    run_id: str
    dataset: str
    seconds: float
    hardware: str
    usd: Decimal
    price_as_of: str

    def __str__(self) -> str:
        return f"{self.label} trained by {self.trainer} in {self.seconds:.0f} s on {self.hardware} for ${self.usd}"


class Evaluated(Event):
    """Scores on held-out images."""

    kind: Literal["evaluated"] = "evaluated"
    evaluation: Evaluation

    def __str__(self) -> str:
        score, (low, high) = self.evaluation.metrics["top1"], self.evaluation.interval
        where = f"{self.evaluation.images} {self.evaluation.split} images of {self.evaluation.clips} clips"
        return f"{self.label} scored top-1 {score:.3f} ({low:.3f} to {high:.3f}) on {where}"


class Exported(Event):
    """A bundle was written and measured."""

    kind: Literal["exported"] = "exported"
    bundle: str
    path: str
    megabytes: float
    parity: list[ParityFigures]
    latency: Latency

    def __str__(self) -> str:
        variants = ", ".join(figures.variant for figures in self.parity)
        return f"{self.label} exported as {variants} (bundle {self.bundle[:12]}, {self.megabytes:.1f} MB)"


class Refused(Event):
    """A promotion that a gate did not let pass."""

    kind: Literal["refused"] = "refused"
    stage: Stage
    actor: str
    findings: list[Finding]

    def __str__(self) -> str:
        why = "; ".join(finding.text for finding in self.findings if not finding.passed)
        return f"{self.label} refused for {self.stage}: {why}"


class Promoted(Event):
    """A promotion that every gate let pass: from here on the alias may stand on this version."""

    kind: Literal["promoted"] = "promoted"
    stage: Stage
    previous: int | None
    actor: str
    findings: list[Finding]

    def __str__(self) -> str:
        after = f", after version {self.previous}" if self.previous else ""
        return f"{self.label} promoted to {self.stage} by {self.actor}{after}"


class Archived(Event):
    """A version gave up its stage."""

    kind: Literal["archived"] = "archived"
    actor: str

    def __str__(self) -> str:
        return f"{self.label} archived by {self.actor}"


class HookDone(Event):
    """A hook of a promotion came to its end."""

    kind: Literal["hook_done"] = "hook_done"
    hook: str
    stage: Stage

    def __str__(self) -> str:
        return f"{self.hook} of {self.label} for {self.stage} done"


class HookFailed(Event):
    """A hook of a promotion failed; the reconciler tries it again."""

    kind: Literal["hook_failed"] = "hook_failed"
    hook: str
    stage: Stage
    attempt: int
    reason: str

    def __str__(self) -> str:
        return f"{self.hook} of {self.label} for {self.stage} failed (attempt {self.attempt}): {self.reason}"


class Deployed(Event):
    """An endpoint answers for a version."""

    kind: Literal["deployed"] = "deployed"
    stage: Stage
    target: str
    url: str
    bundle: str
    usd_per_month: Decimal
    price_as_of: str
    smoke_images: int

    def __str__(self) -> str:
        price = f"${self.usd_per_month} a month"
        return f"{self.label} deployed to {self.target} at {self.url} ({price}, {self.smoke_images} smoke images)"


class Blocked(Event):
    """An alias stands on a version that no promotion ratified: it is not deployed."""

    kind: Literal["blocked"] = "blocked"
    stage: Stage
    reason: str

    def __str__(self) -> str:
        return f"{self.label} holds '{self.stage}' but is not served: {self.reason}"


AnyEvent = Annotated[
    Trained | Evaluated | Exported | Refused | Promoted | Archived | HookDone | HookFailed | Deployed | Blocked,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def parse_event(body: bytes | str) -> AnyEvent:
    """Read an event back from its JSON."""
    return _ADAPTER.validate_json(body)
