"""What deploying to RunPod would change there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from registry.refs import NEXT_SUFFIX
from serving.targets.planning import Change, endpoint_change
from serving.targets.runpod.release import PREFIX
from serving.targets.runpod.release_spec import current_spec, endpoint_spec

if TYPE_CHECKING:
    from serving.targets.runpod.target import RunPodTarget

_LEFT_OUT = {"env", "registry", "templateId"}
"""RunPod's ids for what the job names, and an environment of which only the release is of interest."""


def planned(target: RunPodTarget, name: str, release: Mapping[str, str]) -> list[Change]:
    """The endpoint, and the trial beside it. RunPod is asked, and nothing is changed."""
    live, subject = target.find(name), f"endpoint {PREFIX}{name} at RunPod"
    wanted = _plain(endpoint_spec(target.config, {}, None, None).as_dict())
    if target.config.registry:
        wanted["registry credentials"] = target.config.registry
    if live is None:
        return [endpoint_change(subject, None, {**wanted, **release}, None)]
    current = _plain(current_spec(target.client.endpoint(live.handle)).as_dict())
    if target.config.registry:
        current["registry credentials"] = target.config.registry
    changed = endpoint_change(subject, live, {**wanted, **release}, current)
    if changed.action == "keep":
        return [changed]
    trial = f"endpoint {PREFIX}{name}{NEXT_SUFFIX} at RunPod"
    return [Change(action="create", subject=trial, note="one worker for the smoke test; deleted afterwards"), changed]


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in _LEFT_OUT}
