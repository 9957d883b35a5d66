"""What happened, as sentences. State is folded from these; the ledger keeps them in order."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from registry.measured import (
    DataChecked,
    DeployStarted,
    EndpointDeleted,
    EndpointStopped,
    Evaluated,
    Event,
    Exported,
    Quoted,
    Scanned,
    Trained,
    about,
    named,
    now,
)
from registry.records import Finding, Proof
from registry.spending import (
    Billed,
    BudgetHeld,
    BudgetOverridden,
    CurveMeasured,
    PersonBudgetOverridden,
    PersonBudgetSet,
    PolicyApproved,
    PolicySet,
    TrainingFailed,
)
from registry.stages import Stage

# fmt: off
__all__ = [
    "DataChecked", "DeployStarted", "EndpointDeleted", "EndpointStopped", "Evaluated", "Event", "Exported", "PolicyApproved",
    "PolicySet", "Quoted", "Scanned", "Trained", "about", "named", "now",
]
# fmt: on


class Approved(Event):
    """A person's approval of exactly these bytes for a stage."""

    kind: Literal["approved"] = "approved"
    stage: Stage
    actor: str
    proven: bool

    def __str__(self) -> str:
        return f"{self.label} approved for {self.stage} by {named(self.actor, proven=self.proven)}"


class Refused(Event):
    """A promotion that a gate did not let pass. `advice`: what would most likely help, as far as that is known."""

    kind: Literal["refused"] = "refused"
    stage: Stage
    actor: str
    findings: list[Finding]
    proof: Proof | None = None
    proven: bool = False
    advice: str = ""

    def __str__(self) -> str:
        why = "; ".join(finding.text for finding in self.findings if not finding.passed)
        helps = f"; what would help most: {self.advice}" if self.advice else ""
        return f"{self.label} refused for {self.stage}: {why}{helps}"


class Promoted(Event):
    """A promotion that every gate let pass: from here on the alias may point at this version.

    `again` is set where an earlier promotion of the same bytes is returned to; it is that one's row. Nothing was judged
    then, so there are no findings (rows of older releases repeat those of the earlier promotion).
    """

    kind: Literal["promoted"] = "promoted"
    stage: Stage
    previous: int | None
    actor: str
    findings: list[Finding]
    proof: Proof | None = None
    proven: bool = False
    again: int | None = None

    def __str__(self) -> str:
        after = f", after version {self.previous}" if self.previous else ""
        how = "rolled back" if self.again else "promoted"
        judged = f" (judged in row {self.again}, not again)" if self.again else ""
        return f"{self.label} {how} to {self.stage} by {named(self.actor, proven=self.proven)}{after}{judged}"


class Flipped(Event):
    """The alias of a stage was seen on, or set to, a version that was ratified for it: this is what serves."""

    kind: Literal["flipped"] = "flipped"
    stage: Stage
    previous: int | None
    actor: str
    proven: bool = False

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        return f"alias '{self.stage}' moved from {self.previous or 'none'} to {self.version} by {who}"


class Undone(Event):
    """A promotion that was ratified and then undone, before the alias moved."""

    kind: Literal["undone"] = "undone"
    stage: Stage
    reason: str

    def __str__(self) -> str:
        return f"promotion of {self.label} to {self.stage} undone: {self.reason}"


class Released(Event):
    """An alias was removed in MLflow, while its version stayed: no version holds the stage."""

    kind: Literal["released"] = "released"
    stage: Stage
    reason: str

    def __str__(self) -> str:
        return f"{self.label} no longer holds '{self.stage}': {self.reason}"


class Lost(Event):
    """A version that holds a stage is gone from MLflow, without a decision here."""

    kind: Literal["lost"] = "lost"
    stage: Stage
    reason: str

    def __str__(self) -> str:
        return f"{self.label}, which holds '{self.stage}', is lost: {self.reason}"


class Regained(Event):
    """A version that was lost is in MLflow again: deleted and restored, renamed and back, or hidden for a while."""

    kind: Literal["regained"] = "regained"
    stage: Stage

    def __str__(self) -> str:
        return f"{self.label}, which holds '{self.stage}', is in MLflow again"


class Published(Event):
    """The evidence of an attempt was copied to MLflow, for people to read."""

    kind: Literal["published"] = "published"
    row: int
    run_id: str

    def __str__(self) -> str:
        return f"evidence of row {self.row} about {self.label} copied to MLflow run {self.run_id}"


class Archived(Event):
    """A version gave up its stage."""

    kind: Literal["archived"] = "archived"
    actor: str
    proven: bool = False

    def __str__(self) -> str:
        return f"{self.label} archived by {named(self.actor, proven=self.proven)}"


class HookDone(Event):
    """A hook of a promotion finished."""

    kind: Literal["hook_done"] = "hook_done"
    hook: str
    stage: Stage

    def __str__(self) -> str:
        return f"{self.hook} of {self.label} for {self.stage} done"


class HookFailed(Event):
    """A hook of a promotion failed; the reconciler tries it again. Attempt 0 was not tried for want of a key: never a row."""

    kind: Literal["hook_failed"] = "hook_failed"
    hook: str
    stage: Stage
    attempt: int
    reason: str

    def __str__(self) -> str:
        how = f"failed (attempt {self.attempt})" if self.attempt else "was not tried"
        return f"{self.hook} of {self.label} for {self.stage} {how}: {self.reason}"


class Deployed(Event):
    """An endpoint answers for a version. `handle` is its provider's id; rows of older releases have none."""

    kind: Literal["deployed"] = "deployed"
    stage: Stage
    target: str
    url: str
    bundle: str
    usd_per_month: Decimal
    price_as_of: str
    smoke_images: int
    owner: str = ""
    cold_start_s: float | None = None
    handle: str = ""
    endpoint: str = Field(default="", description="its own name, where it is not the stage's")
    max_usd_per_month: Decimal | None = None

    def __str__(self) -> str:
        deployed = f"{self.label} deployed to {self.target} at {self.url}"
        return f"{deployed} (${self.usd_per_month} a month, {self.smoke_images} smoke images)"


class CanaryStarted(Event):
    """A version gets a share of its stage's traffic beside the one that serves; `rules` are what it has to show."""

    kind: Literal["canary_started"] = "canary_started"
    stage: Stage
    target: str
    url: str
    bundle: str
    against: int
    rules: dict[str, float | str]
    owner: str = ""
    handle: str = ""

    def __str__(self) -> str:
        begins = f"{self.label} is a canary for {self.stage} at {self.target}, beside version {self.against}"
        return f"{begins}: {float(self.rules['share']):.0%} of the traffic"


class CanaryEnded(Event):
    """The verdict on a canary: it takes the stage over, or the version before keeps it."""

    kind: Literal["canary_ended"] = "canary_ended"
    stage: Stage
    outcome: Literal["promoted", "rolled_back"]
    reason: str
    actor: str
    figures: dict[str, float]

    def __str__(self) -> str:
        return f"canary {self.label} for {self.stage} {self.outcome.replace('_', ' ')} by {self.actor}: {self.reason}"


class Blocked(Event):
    """An alias points at a version that no promotion ratified: it is not deployed."""

    kind: Literal["blocked"] = "blocked"
    stage: Stage
    reason: str

    def __str__(self) -> str:
        return f"{self.label} holds '{self.stage}' but is not served: {self.reason}"


AnyEvent = Annotated[
    (PolicySet | PolicyApproved)
    | (Trained | DataChecked | Scanned | Evaluated | Exported | Quoted | TrainingFailed | CurveMeasured)
    | (Approved | Refused | Promoted | Flipped | Undone | Archived | Released | Lost | Regained | Blocked)
    | (Published | HookDone | HookFailed)
    | (DeployStarted | Deployed | CanaryStarted | CanaryEnded | EndpointStopped | EndpointDeleted)
    | (Billed | BudgetOverridden | PersonBudgetSet | PersonBudgetOverridden | BudgetHeld),
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)


def parse_event(body: bytes | str) -> AnyEvent:
    """Read an event back from its JSON."""
    return _ADAPTER.validate_json(body)
