"""What a version's deployment will publish, before there is a bundle: said when a stage is decided about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy


def future_uploads(config: AnyDeploy) -> list[str]:
    """Where bundles and pages will be published, and whether everybody can read them there; none where the user uploads."""
    if isinstance(config, HuggingFaceDeploy):
        page = [f"its page will be published to the Space {config.space}, {_readers(private=config.private)}"]
        return [_bundle(config.repository, private=config.private), *(page if config.space else ())]
    if isinstance(config, RunPodDeploy) and config.bundles.startswith("hf:"):
        return [_bundle(config.bundles.removeprefix("hf:"), private=not config.public)]
    return []


def _bundle(repository: str, *, private: bool) -> str:
    return f"its bundle will be published to {repository} at Hugging Face, {_readers(private=private)}"


def _readers(*, private: bool) -> str:
    return "private" if private else "public: everybody can read it"
