"""What an endpoint serves, written into its workers' environment: the provider's record is the only one."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Self

from serving.bundle.bundle import Bundle
from serving.targets.runpod.config import RunPodDeploy

PREFIX = "modelyard-"
"""Of the names of our endpoints at RunPod."""

MARK = "MODELYARD_ENDPOINT"
"""The variable with an endpoint's own name, by which it is known."""

MEMORY_GB = "1"
"""What RunPod's SDK asks for before a queue's worker starts; its own 4 GB are more than the smallest machine has free."""

TOKEN = "MODELYARD_BUNDLE_TOKEN"  # noqa: S105 a variable's name
"""What workers read a private bundle with: RunPod puts the secret's value there."""

SECRET = re.compile(r"\{\{ RUNPOD_SECRET_(\w+) \}\}")
"""How a secret is named in a worker's environment."""

PORT = 8000
"""Where our HTTP server listens in a worker's container."""


@dataclass(frozen=True)
class Release:
    """A bundle, and the URL that workers download it from."""

    model: str
    version: int
    bundle: str
    url: str

    @classmethod
    def of(cls, bundle: Bundle, url: str) -> Self:
        """The release of a bundle."""
        return cls(bundle.index.model, bundle.index.version, bundle.index.digest, url)

    @classmethod
    def read(cls, env: dict[str, str] | None) -> Self | None:
        """The release in a worker's environment, if it is one of ours."""
        fields = env or {}
        try:
            version = int(fields["MODELYARD_VERSION"])
            return cls(fields["MODELYARD_MODEL"], version, fields["MODELYARD_BUNDLE"], fields["MODELYARD_BUNDLE_URL"])
        except (KeyError, ValueError):
            return None

    @classmethod
    def before(cls, env: dict[str, str] | None) -> Self | None:
        """The release before it."""
        try:
            return cls(**json.loads((env or {})["MODELYARD_BEFORE"]))
        except (KeyError, ValueError, TypeError):
            return None

    def env(self, name: str, config: RunPodDeploy, before: Release | None) -> dict[str, str]:
        """The environment of its workers, at the endpoint of that name."""
        env = {
            MARK: name,
            "MODELYARD_MODEL": self.model,
            "MODELYARD_VERSION": str(self.version),
            "MODELYARD_BUNDLE": self.bundle,
            "MODELYARD_BUNDLE_URL": self.url,
            "PORT": str(PORT),
            "PORT_HEALTH": str(PORT),
            "MODELYARD_NO_KEY": "1",  # RunPod's gateway asks for a key of its own
        }
        if config.mode == "queue":
            env["RUNPOD_MIN_MEMORY_GB"] = MEMORY_GB
        if config.pools:
            env["MODELYARD_DEVICE"] = "cuda"
        if config.bundle_secret:
            env[TOKEN] = f"{{{{ RUNPOD_SECRET_{config.bundle_secret} }}}}"
        if before:
            env["MODELYARD_BEFORE"] = json.dumps(asdict(before), sort_keys=True)
        return env
