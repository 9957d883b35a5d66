"""Both doubles at once, for interactive use: RunPod's workers download from the Hub's double, its pods are processes here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.fakes.boot import booting, mounting
from serving.fakes.clock import VirtualClock
from serving.fakes.http import listening
from serving.fakes.huggingface.app import huggingface_double
from serving.fakes.runpod.app import runpod_double
from serving.fakes.runpod.pods.process import ProcessContainer
from serving.fakes.runpod.pods.state import PodCloud
from serving.fakes.runpod.state import Program

_PULL_S = 28.0
"""How long a worker's image is pulled at first."""
_SECRET = re.compile(r"^\{\{ RUNPOD_SECRET_\w+ \}\}$")


@contextmanager
def running(folder: Path, port: int, speed: float, spec: Path | None) -> Iterator[dict[str, str]]:
    """The environment variables that point Modelyard at them."""
    clock = VirtualClock(speed)
    hub = huggingface_double(mounting, folder / "repositories", clock)
    boot = booting(folder / "workers")

    def with_secrets(env: dict[str, str]) -> Program:
        """Every secret is the Hub's token: no other is used here."""
        return boot({name: hub.token if _SECRET.match(value) else value for name, value in env.items()})

    pods = PodCloud(clock, lambda env, command: ProcessContainer(env, command, folder / "pods" / env["RUNPOD_POD_ID"]))
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
