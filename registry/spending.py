"""What happened to a model and none of its versions: policies, runs that came to nothing, curves, bills, budgets overridden."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import Field

from registry.amounts import format_usd
from registry.measured import named
from registry.records import Gain, Record


class ModelEvent(Record):
    """What is about a model and none of its versions."""

    model: str
    version: Literal[0] = 0
    created_ms: Literal[0] = 0
    digest: Literal[""] = ""


class PolicyRules(Record):
    """Who may set a model's policy, as the policy itself says it: either kind of proof is enough, without any everybody may."""

    set_by: tuple[str, ...] = Field(default=(), description="names, as an MLflow server with logins has checked them")
    keys: tuple[str, ...] = Field(default=(), description="ids of signing keys, see `modelyard ledger key --json`")

    @property
    def open(self) -> bool:
        """Whether everybody may."""
        return not (self.set_by or self.keys)

    def allow(self, actor: str, *, proven: bool, signer: str) -> bool:
        """Whether somebody may set the policy that comes after this one."""
        return self.open or (proven and actor in self.set_by) or (signer != "" and signer in self.keys)

    def __str__(self) -> str:
        names = [f"{name} (logged in)" for name in self.set_by]
        return " or ".join([*names, *(f"key {key}" for key in self.keys)]) or "anybody"


class PolicySet(ModelEvent):
    """The job that a model is judged, exported and deployed by from here on.

    `changes` says what is other than in the policy before, a sentence each. `first` comes from a training: it counts only
    where the model had no policy. `promoting` was recorded together with the promotion in the next row, and falls with it.
    """

    kind: Literal["policy_set"] = "policy_set"
    actor: str
    job: dict[str, Any]
    policy_hash: str
    proven: bool = False
    changes: list[str] = Field(default=[], description="what is other than in the policy before, in words")
    first: bool = False
    promoting: bool = False

    @property
    def rules(self) -> PolicyRules:
        """Who may set the policy after this one. Raises ValueError for a row that says it in no way that is understood."""
        return PolicyRules.model_validate(self.job.get("policy") or {})

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        changes = f": {'; '.join(self.changes)}" if self.changes else ""
        how = " by the first training" if self.first else ""
        return f"policy of {self.model} set by {who}{how} ({self.policy_hash[:12]}){changes}"


class PolicyApproved(ModelEvent):
    """A person's approval of the policy that a row has set, by its content."""

    kind: Literal["policy_approved"] = "policy_approved"
    actor: str
    proven: bool
    row: int
    policy_hash: str

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        return f"policy of {self.model} ({self.policy_hash[:12]}, row {self.row}) approved by {who}"


class TrainingFailed(ModelEvent):
    """A run that was paid for and ended in no version."""

    kind: Literal["training_failed"] = "training_failed"
    trainer: str
    run_id: str
    seconds: float
    hardware: str
    usd: Decimal
    price_as_of: str
    reason: str
    actor: str = ""
    proven: bool = False
    trial: bool = False
    """One of a search: it was to end in no version, and `reason` says how it did."""

    def __str__(self) -> str:
        if self.trial:
            return f"trial of {self.model} by {self.trainer}, {self.seconds:.0f} s (${self.usd}): {self.reason}"
        return f"training of {self.model} by {self.trainer} failed after {self.seconds:.0f} s (${self.usd}): {self.reason}"


class CurveMeasured(ModelEvent):
    """What more clips are predicted to be worth to who trains on a data set, by its digest: `gains` by class.

    `overall`: for more clips of every class; None where that could not be measured. `network`: what the features are of.
    """

    kind: Literal["curve_measured"] = "curve_measured"
    dataset: str
    network: str
    gains: dict[str, Gain]
    overall: Gain | None = None
    actor: str = ""
    proven: bool = False

    def __str__(self) -> str:
        parts = [f"{gain} of every class" for gain in (self.overall,) if gain is not None]
        parts += [f"of '{label}' {gain.points}" for label, gain in self.gains.items()]
        return f"learning curve of {self.model} on data set {self.dataset[:12]}: {'; '.join(parts)}"


class Billed(ModelEvent):
    """What a provider billed for a thing over a span of time. A later row for the same thing and span replaces it."""

    kind: Literal["billed"] = "billed"
    provider: str
    resource: str
    start: datetime
    end: datetime
    usd: Decimal = Field(ge=0, allow_inf_nan=False)
    told: str = Field(description="the amount as it was billed, with its currency")
    rate: Decimal = Field(default=Decimal(1), description="US dollars for one of that currency")
    source: str

    def __str__(self) -> str:
        span = f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"
        return f"{self.provider} billed {self.told} for {self.resource}, {span} ({self.source})"


class BudgetOverridden(ModelEvent):
    """Somebody let a model spend more than its budget, until the month ends."""

    kind: Literal["budget_overridden"] = "budget_overridden"
    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    spent_usd: Decimal
    limit_usd: Decimal
    reason: str
    actor: str
    proven: bool = False

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        spent = f"{format_usd(self.spent_usd)} of {format_usd(self.limit_usd)} spent"
        return f"budget of {self.model} for {self.month} overridden by {who} ({spent}): {self.reason}"


class PersonBudgetSet(ModelEvent):
    """What a person may spend on training in a month, over all models; None ends it. It is about no model: that is ""."""

    kind: Literal["person_budget_set"] = "person_budget_set"
    person: str
    usd_per_month: Decimal | None
    warn_at: float = 0.8
    actor: str
    proven: bool = False

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        if self.usd_per_month is None:
            return f"budget of {self.person} ended by {who}"
        return f"budget of {self.person} set to {format_usd(self.usd_per_month)} a month by {who}"


class PersonBudgetOverridden(ModelEvent):
    """Somebody let a person spend more than their budget, until the month ends. It is about no model."""

    kind: Literal["person_budget_overridden"] = "person_budget_overridden"
    person: str
    month: str = Field(pattern=r"^\d{4}-\d{2}$")
    spent_usd: Decimal
    limit_usd: Decimal
    reason: str
    actor: str
    proven: bool = False

    def __str__(self) -> str:
        who = named(self.actor, proven=self.proven)
        spent = f"{format_usd(self.spent_usd)} of {format_usd(self.limit_usd)} spent"
        return f"budget of {self.person} for {self.month} overridden by {who} ({spent}): {self.reason}"


class BudgetHeld(ModelEvent):
    """Money that a start may come to cost, held until it is booked, so that two starts cannot both take what is left.

    A later row of the same `hold` replaces it: nothing is held any more at 0 dollars, nor after `until`. `process` is who holds
    it; where that is seen to be gone, the next start releases it.
    """

    kind: Literal["budget_held"] = "budget_held"
    hold: str
    person: str
    usd: Decimal = Field(ge=0, allow_inf_nan=False)
    until: datetime
    process: str = ""

    def __str__(self) -> str:
        if not self.usd:
            return f"nothing is held of the budgets of {self.model} and {self.person} for {self.hold} any more"
        return f"{format_usd(self.usd)} held of the budgets of {self.model} and {self.person} for {self.hold}"


class Limit(Record):
    """What a model or a person may spend in a month, and the share of it from which on everybody is warned."""

    usd_per_month: Decimal
    warn_at: float = 0.8


class BudgetStatus(Record):
    """A month of a model, or of a `person` (then `model` is ""), as everybody sees it.

    `limit_usd` is None where no budget is set, `overridden` says who let it go on, and `held_usd` is what trainings that run
    may come to cost.
    """

    model: str
    month: str
    spent_usd: Decimal
    limit_usd: Decimal | None
    state: Literal["none", "ok", "warn", "over", "overridden"]
    overridden: str = ""
    person: str = ""
    held_usd: Decimal = Decimal(0)

    @property
    def whose(self) -> str:
        """The model or the person."""
        return self.person or self.model

    def __str__(self) -> str:
        if self.limit_usd is None:
            return f"{self.whose} spent {format_usd(self.spent_usd)} in {self.month}; it has no budget"
        sentence = f"{self.whose} spent {format_usd(self.spent_usd)} of {format_usd(self.limit_usd)} in {self.month}"
        if self.held_usd:
            sentence += f", {format_usd(self.held_usd)} held by trainings that run"
        return f"{sentence} ({self.overridden})" if self.overridden else sentence

    @classmethod
    def for_month(
        cls,
        model: str,
        at: datetime,
        spent: Decimal,
        limit: Limit | None,
        override: BudgetOverridden | PersonBudgetOverridden | None,
    ) -> Self:
        """The month of a moment. The state is overridden from the moment at which all is spent."""
        fields = {"model": model, "month": f"{at:%Y-%m}", "spent_usd": spent}
        if limit is None:
            return cls.model_validate(fields | {"limit_usd": None, "state": "none"})
        fields["limit_usd"] = limit.usd_per_month
        if override is not None:
            fields["overridden"] = f"overridden by {override.actor}"
        if spent < limit.usd_per_month:
            near = spent >= limit.usd_per_month * Decimal(str(limit.warn_at))
            return cls.model_validate(fields | {"state": "warn" if near else "ok"})
        if override is None:
            return cls.model_validate(fields | {"state": "over"})
        return cls.model_validate(fields | {"state": "overridden"})
