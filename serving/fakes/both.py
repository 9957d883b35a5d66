"""Both doubles at once, for interactive use: RunPod's workers download from the Hub's double, its pods are processes here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.fakes.boot import booting, mounting
from serving.fakes.clock import VirtualClock, stamp
from serving.fakes.http import listening
from serving.fakes.huggingface.app import huggingface_double
from serving.fakes.runpod.app import runpod_double
from serving.fakes.runpod.pods.process import ProcessContainer
from serving.fakes.runpod.pods.state import PodCloud
from serving.fakes.runpod.state import Program

_PULL_S = 28.0
"""How long a worker's image is pulled at first."""
_REFERENCE = re.compile(r"^\{\{ RUNPOD_SECRET_(\w+) \}\}$")
SECRET = "bundles"  # noqa: S105 its name
"""The one secret of the account: a token that reads the Hub's double."""


@contextmanager
def running(folder: Path, port: int, speed: float, spec: Path | None) -> Iterator[dict[str, str]]:
    """The environment variables that point Modelyard at them."""
    clock = VirtualClock(speed)
    hub = huggingface_double(mounting, folder / "repositories", clock)
    boot = booting(folder / "workers")

    pods = PodCloud(clock, lambda env, command: ProcessContainer(env, command, folder / "pods" / env["RUNPOD_POD_ID"]))
    pods.secrets["sec0"] = {"id": "sec0", "name": SECRET, "value": hub.token, "createdAt": stamp(clock.now())}

    def with_secrets(env: dict[str, str]) -> Program:
        """What RunPod does before a worker starts; a secret that the account does not have stays as it is written."""
        secrets = {row["name"]: str(row["value"]) for row in pods.secrets.values()}
        return boot({name: _REFERENCE.sub(lambda match: secrets.get(match[1], match[0]), value) for name, value in env.items()})

    runpod = runpod_double(with_secrets, clock, spec=spec, pods=pods)
    with ending(pods), listening(hub.app, port) as hub_url, listening(runpod.app, port + 1 if port else 0) as runpod_url:
        hub.account.url, runpod.control.url, runpod.cloud.pull_s = hub_url, runpod_url, _PULL_S
        yield {
            "RUNPOD_API_KEY": runpod.key,
            "MODELYARD_RUNPOD_URL": runpod_url,
            "MODELYARD_RUNPOD_PROXY_URL": runpod_url + "/proxy/{pod}-{port}",
            "HF_TOKEN": hub.token,
            "HF_ENDPOINT": hub_url,
            "MODELYARD_HF_ENDPOINTS_URL": f"{hub_url}/ie-api",
        }


@contextmanager
def ending(pods: PodCloud) -> Iterator[None]:
    """Whatever pods there are when the block ends, their processes end with it."""
    try:
        yield
    finally:
        for pod in list(pods.pods.values()):
            pods.terminate(pod)
