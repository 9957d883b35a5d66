"""Where training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Record

Device = Literal["auto", "cpu", "cuda", "mps"]


class LocalLaunch(Record):
    """A process of its own on this machine: what kills it leaves the command that started it."""

    kind: Literal["local"] = "local"
    memory_gb: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="memory of the training and its children, at which it is ended"
    )
    device: Device = Field(default="auto", description="auto: CUDA, else Apple's MPS, else the CPU")
