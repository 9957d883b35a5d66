"""An account with pods that tests ask without a socket, on a clock that they advance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from serving.fakes.clock import VirtualClock
from serving.fakes.plain import Answer, Ask, transport
from serving.fakes.runpod.pods.control import PodControl
from serving.fakes.runpod.pods.state import PodCloud
from serving.targets.runpod.pod_shapes import NewPod, PodGpu
from serving.targets.runpod.pods import PodClient

START = 1_795_000_000.0


class Idle:
    """A container that only answers."""

    ended = False

    def __init__(self, env: Mapping[str, str], command: list[str]) -> None:
        self.env, self.command, self.killed = env, command, False

    def ask(self, ask: Ask) -> Answer:
        return Answer(200, json.dumps(dict(self.env)).encode())

    def tick(self) -> None:
        """Nothing to do."""

    def kill(self) -> None:
        self.killed = True


@dataclass
class PodWorld:
    """The double, and what a client needs of it."""

    boot: object = Idle
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(start=START))
    seed: int = 0

    def __post_init__(self) -> None:
        self.cloud = PodCloud(self.clock, self.boot, seed=self.seed)
        self.control = PodControl(self.cloud)

    def client(self, key: str = "rpa_double") -> PodClient:
        return PodClient(SecretStr(key), "http://double", sleep=self.cloud.advance, transport=transport(self.control.handle))

    def ask(self, method: str, path: str, body: object = None, key: str = "rpa_double", **query: str) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return self.control.handle(Ask(method, path, query, {"authorization": f"Bearer {key}"}, data))


def new_pod(name: str = "modelyard-train-x", gpu: str = "NVIDIA A40", **fields: object) -> NewPod:
    usual: dict[str, object] = {"name": name, "image": "me/train:1", "gpu": PodGpu(id=gpu, count=1), "disk": 30}
    usual |= {"ports": ["8000/http"], "env": {"A": "1"}, "entrypoint": ["python"], "cmd": ["-m", "agent"]}
    return NewPod(**(usual | fields))
