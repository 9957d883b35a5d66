"""What a deployment would upload, and where to: said before it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.targets.huggingface.hub import HubBundleStore
from serving.targets.huggingface.target import HuggingFaceTarget
from serving.targets.runpod.target import RunPodTarget

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Publication, Target


def publications_of(target: Target, bundle: Bundle) -> list[Publication]:
    """What deploying there uploads; nothing to this machine, and nothing where the user uploads."""
    if isinstance(target, HuggingFaceTarget):
        return target.publications(bundle)
    if isinstance(target, RunPodTarget) and isinstance(target.store, HubBundleStore):
        return [target.store.publication(bundle)]
    return []
