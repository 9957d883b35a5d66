"""The gates that a job file can name, chosen by `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from validation.gates.budget import BudgetGate
from validation.gates.latency import LatencyGate
from validation.gates.metric import MetricGate
from validation.gates.parity import ParityGate
from validation.gates.size import SizeGate

GateConfig = Annotated[MetricGate | BudgetGate | ParityGate | LatencyGate | SizeGate, Field(discriminator="kind")]
