"""What deploying to Hugging Face would change there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from registry.errors import NotFoundError
from registry.refs import NEXT_SUFFIX
from serving.bundle.web_page import ABOUT
from serving.targets.huggingface.release import Release, slug_of
from serving.targets.huggingface.release_spec import Spec, current_spec, endpoint_spec
from serving.targets.planning import Change, endpoint_change

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle
    from serving.targets.huggingface.target import HuggingFaceTarget

_LEFT_OUT = {"env", "revision"}
"""The release is shown by itself."""


def planned(target: HuggingFaceTarget, name: str, release: Mapping[str, str]) -> list[Change]:
    """The endpoint, and the trial beside it. Hugging Face is asked, and nothing is changed.

    Raises what `deploy` would for an endpoint that is not ours, and for one that cannot be changed so.
    """
    target.check_standing(name)
    live, slug, config = target.find(name), slug_of(name), target.config
    subject = f"endpoint {slug} of {target.endpoints.namespace} at Hugging Face"
    access = {"access": config.access, "provider": f"{config.vendor} {config.region}"}  # neither can change
    wanted = _plain(endpoint_spec(config, name, Release("", 0, "", ""), None)) | access
    standing = target.endpoints.get(slug)
    if live is None or standing is None:
        return [endpoint_change(subject, None, {**wanted, **release}, None)]
    changed = endpoint_change(subject, live, {**wanted, **release}, _plain(current_spec(standing.raw)) | access)
    if changed.action == "keep":
        return [changed]
    trial = f"endpoint {slug}{NEXT_SUFFIX} at Hugging Face"
    return [Change(action="create", subject=trial, note="one replica for the smoke test; deleted afterwards"), changed]


def lacks_page(target: HuggingFaceTarget, bundle: Bundle) -> bool:
    """Whether a Space is wanted that does not show this bundle yet."""
    if not target.config.space or target.page is None:
        return False
    try:
        shown = json.loads(target.endpoints.hub.read(target.config.space, "main", ABOUT, "space")).get("bundle")
    except (NotFoundError, ValueError, AttributeError):
        return True
    return shown != bundle.index.digest


def _plain(spec: Spec) -> dict[str, Any]:
    model = {key: value for key, value in spec["model"].items() if key not in _LEFT_OUT}
    custom = (model.pop("image", None) or {}).get("custom") or {}
    return {"compute": spec["compute"], "repository": model.get("repository"), "image": custom.get("url", "Hugging Face's own")}
