"""The gates that a job file can name, chosen by `kind`: ours, and those of other packages by entry point."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError, model_validator

from registry.protocols import Gate
from registry.records import Evidence, Finding
from validation.gates.approval import ApprovalGate
from validation.gates.budget import BudgetGate
from validation.gates.card import CardGate
from validation.gates.champion import ChampionGate
from validation.gates.data import DataGate
from validation.gates.latency import LatencyGate
from validation.gates.metric import MetricGate
from validation.gates.parity import ParityGate
from validation.gates.policy import PolicyGate
from validation.gates.safety import SafetyGate
from validation.gates.size import SizeGate

GROUP = "modelyard.gates"
"""Entry points of this group name a gate's kind and its class: a pydantic model with `kind` and `judge`."""

KINDS = ("approval", "budget", "card", "champion", "data", "latency", "metric", "parity", "policy", "safety", "size")


class OtherGate(BaseModel):
    """A gate of another package. Its settings are whatever its class takes; it is loaded when the job file is read."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        self.gate()
        return self

    def gate(self) -> Gate:
        """The gate itself."""
        points = entry_points(group=GROUP, name=self.kind)
        if not points:
            near = get_close_matches(self.kind, [*KINDS, *(point.name for point in entry_points(group=GROUP))], n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(KINDS)}"
            raise ValueError(f"no gate '{self.kind}' ({hint})")
        try:
            return cast("Gate", next(iter(points)).load()(**self.model_dump()))
        except (ImportError, AttributeError, TypeError, ValidationError) as error:
            raise ValueError(f"gate '{self.kind}' of another package cannot be used: {error}") from error

    def judge(self, evidence: Evidence) -> list[Finding]:
        """The other package's findings; a gate that breaks, or returns none, lets nothing pass."""
        try:
            findings = self.gate().judge(evidence)
        except Exception as error:  # noqa: BLE001 anybody's code
            findings = [Finding(gate=self.kind, passed=False, text=f"gate broke: {type(error).__name__}: {error}")]
        return findings or [Finding(gate=self.kind, passed=False, text="the gate returned no finding")]


def _kind_of(value: Any) -> str:
    kind: object = cast("dict[str, object]", value).get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return str(kind) if kind in KINDS else "other"


GateConfig = Annotated[
    Annotated[ApprovalGate, Tag("approval")]
    | Annotated[BudgetGate, Tag("budget")]
    | Annotated[CardGate, Tag("card")]
    | Annotated[ChampionGate, Tag("champion")]
    | Annotated[DataGate, Tag("data")]
    | Annotated[LatencyGate, Tag("latency")]
    | Annotated[MetricGate, Tag("metric")]
    | Annotated[ParityGate, Tag("parity")]
    | Annotated[PolicyGate, Tag("policy")]
    | Annotated[SafetyGate, Tag("safety")]
    | Annotated[SizeGate, Tag("size")]
    | Annotated[OtherGate, Tag("other")],
    Discriminator(_kind_of),
]
