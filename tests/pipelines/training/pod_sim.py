"""Launches against the double with no socket, no process and no time: the real agent, the real launcher, a training of lines."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
from pod_world import START

from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.training.launchers.archives import Archive, pack
from pipelines.training.launchers.pod_agent import PodAgent
from pipelines.training.launchers.pod_switch import Switch
from pipelines.training.launchers.runpod_launch import PodLauncher, Surroundings
from pipelines.training.launchers.runpod_reaper import Reaper
from serving.fakes.clock import VirtualClock
from serving.fakes.plain import Answer, Ask, transport
from serving.fakes.runpod.pods.control import PodControl
from serving.fakes.runpod.pods.state import PodCloud
from serving.targets.runpod.pods import PodClient
from serving.targets.waiting import Clock

FITTED = json.dumps({"line": "fitted", "folder": "model", "extras": None, "name": "", "figures": {}})


class Killed(BaseException):
    """SIGKILL to the client."""


@dataclass
class LineRunner:
    """A training that takes `seconds`, says an epoch each tenth of them, and writes a model of one file."""

    world: PodSim
    seconds: float
    code: int = 0

    def start(self, job: Mapping, folder: Path) -> None:
        self.began, self.job, self.folder, self.out, self.stopped = self.world.clock.now(), job, folder, 0, False
        self.world.started.append((folder.name, self.began))

    def poll(self) -> tuple[list[str], int | None]:
        if self.stopped:
            return [], -9
        done = min((self.world.clock.now() - self.began) / self.seconds, 1.0)
        fresh = range(self.out + 1, int(done * 10) + 1)
        self.out = max(self.out, int(done * 10))
        lines = [json.dumps({"line": "epoch", "epoch": epoch, "metrics": {"val_top1": epoch / 10}}) for epoch in fresh]
        if done < 1.0:
            return lines, None
        if not self.code:
            (self.folder / "trained" / "model").mkdir(exist_ok=True)
            (self.folder / "trained" / "model" / "weights").write_bytes(self.world.model_of(self.job))
            lines.append(FITTED)
        return lines, self.code

    def stop(self) -> None:
        self.stopped = True

    def tail(self) -> str:
        return "the end of the log"


class AgentContainer:
    """The agent in a pod: its requests, and its clock as long as `PodSim.agents_alive`."""

    ended = False

    def __init__(self, world: PodSim, env: Mapping[str, str]) -> None:
        self.world, self.folder = world, world.folder / env["RUNPOD_POD_ID"]
        self.folder.mkdir(parents=True)
        key = SecretStr(env.get("MODELYARD_POD_KEY") or env["RUNPOD_API_KEY"])
        pods = PodClient(key, env["MODELYARD_RUNPOD_URL"], sleep=lambda _: None, transport=transport(world.control.handle))
        deadline, silence = float(env["MODELYARD_POD_DEADLINE"]), float(env["MODELYARD_POD_SILENCE_S"])
        switch = Switch(pods, env["RUNPOD_POD_ID"], deadline, silence, world.clock.now)
        self.runner = LineRunner(world, world.train_s, world.exit_code)
        self.agent = PodAgent(self.folder, SecretStr(env["MODELYARD_POD_TOKEN"]), switch, self.runner)

    def ask(self, ask: Ask) -> Answer:
        token = ask.headers.get("authorization", "").removeprefix("Bearer ")
        status, body = self.agent.handle(ask.method, ask.path, ask.query, token, ask.body)
        return Answer(status, body, {"content-type": "application/json"})

    def tick(self) -> None:
        self.agent.look()
        if self.world.agents_alive or self.agent.switch.protected is None:
            self.agent.switch.tick()

    def kill(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class PodSim:
    """An account, and what launches into it."""

    folder: Path
    seed: int = 0
    train_s: float = 300.0
    exit_code: int = 0
    agents_alive: bool = True
    dead: bool = False
    pauses: tuple[float, float] = (5.0, 60.0)
    said: list[str] = field(default_factory=list)
    started: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.clock = VirtualClock(start=START)
        self.cloud = PodCloud(self.clock, lambda env, _: AgentContainer(self, env), balance=1e9, seed=self.seed)
        self.control = PodControl(self.cloud)
        self.sleep = self.cloud.advance
        """What waiting does; tests put something in its place."""
        self.lines: list[str] = []

    def kill_client(self) -> None:
        """It asks nothing and waits for nothing any more, whatever its `finally` blocks would do."""
        self.dead = True
        raise Killed

    def wait(self, seconds: float) -> None:
        if self.dead:
            raise Killed
        self.sleep(seconds)

    def transport(self) -> httpx.BaseTransport:
        return transport(self.handle)

    def handle(self, ask: Ask) -> Answer:
        if self.dead:
            raise Killed
        return self.control.handle(ask)

    def client(self, key: str = "rpa_double") -> PodClient:
        return PodClient(SecretStr(key), "http://double", sleep=self.wait, transport=self.transport())

    def launcher(self, key: str = "rpa_double", **launch: object) -> PodLauncher:
        usual = {"image": "me/train@sha256:0", "gpus": ("NVIDIA RTX A4000", "NVIDIA A40"), "max_usd": "1.00"}
        clock = Clock(self.clock.now, self.wait)
        proxy = "http://double/proxy/{pod}-{port}"
        world = Surroundings(self.client(key), proxy, "http://double", self.said.append, clock, self.transport(), self.pauses)
        return PodLauncher(RunPodLaunch.model_validate(usual | launch), world)

    def data(self) -> Archive:
        path = self.folder / "data.tar"
        return Archive.of(path) if path.exists() else pack(path, [], {"manifest.json": "{}", "train/a.jpg": "x" * 5000})

    def launch(self, key: str = "rpa_double", launcher: PodLauncher | None = None, **launch: object) -> Archive:
        launcher = launcher or self.launcher(key, **launch)
        return launcher.run(self.data(), {"trainer": {"kind": "torch"}}, self.folder / "model.tar", self.lines.append)

    def reaper(self) -> Reaper:
        """Another process: it lives when the client is dead."""
        client = PodClient(
            SecretStr("rpa_double"), "http://double", sleep=self.cloud.advance, transport=transport(self.control.handle)
        )
        return Reaper(client, self.clock.now)

    def epochs(self) -> list[int]:
        fields = [json.loads(line) for line in self.lines]
        return [line["epoch"] for line in fields if line["line"] == "epoch"]

    @staticmethod
    def model_of(job: Mapping) -> bytes:
        return f"trained by {job['trainer']['kind']}".encode()
