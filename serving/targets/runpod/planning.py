"""What deploying to RunPod would change there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from registry.refs import NEXT_SUFFIX
from serving.targets.planning import Change, endpoint_change
from serving.targets.runpod.release import PREFIX, SECRET, TOKEN
from serving.targets.runpod.release_spec import check_can_update, current_spec, endpoint_spec

if TYPE_CHECKING:
    from serving.targets.runpod.target import RunPodTarget

_LEFT_OUT = {"env", "registry", "templateId"}
"""RunPod's ids for what the job names, and an environment of which only some variables are of interest."""


def planned(target: RunPodTarget, name: str, release: Mapping[str, str]) -> list[Change]:
    """The endpoint, and the trial beside it. RunPod is asked, and nothing is changed.

    Raises what `deploy` would for an endpoint that is not ours, and for one that cannot be changed so.
    """
    target.ours.named(name)
    live, subject = target.find(name), f"endpoint {PREFIX}{name} at RunPod"
    wanted = _plain(endpoint_spec(target.config, {}, None, None).as_dict())
    wanted |= {"bundles": target.store.base.rstrip("/"), "bundle_secret": target.config.bundle_secret}
    if target.config.registry:
        wanted["registry credentials"] = target.config.registry
    if live is None:
        return [endpoint_change(subject, None, {**wanted, **release}, None)]
    standing = target.client.endpoint(live.handle)
    current = _plain(current_spec(standing).as_dict()) | _bundles(standing.env or {})
    if target.config.registry:
        current["registry credentials"] = target.config.registry
    changed = endpoint_change(subject, live, {**wanted, **release}, current)
    if changed.action == "keep":
        return [changed]
    check_can_update(standing, target.config)
    trial = f"endpoint {PREFIX}{name}{NEXT_SUFFIX} at RunPod"
    return [Change(action="create", subject=trial, note="one worker for the smoke test; deleted afterwards"), changed]


def _bundles(env: Mapping[str, str]) -> dict[str, str]:
    """Where an endpoint's workers download bundles from, and with which secret."""
    address = env.get("MODELYARD_BUNDLE_URL", "")
    secret = SECRET.fullmatch(env.get(TOKEN, ""))
    where = address.rpartition("/")[0].removesuffix("/resolve")  # without the digest, or the commit
    return {"bundles": where, "bundle_secret": secret[1] if secret else ""}


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in _LEFT_OUT}
