"""Every place that a job's `launch:` may name."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from pipelines.job.launch import LocalLaunch
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.launch_runpod import RunPodLaunch


def _here_unless_said(value: object) -> object:
    """Without a kind it is this machine."""
    return {"kind": "local", **value} if isinstance(value, dict) else value


_Known = Annotated[LocalLaunch | RayLaunch | RunPodLaunch, Field(discriminator="kind")]
LaunchConfig = Annotated[_Known, BeforeValidator(_here_unless_said)]
