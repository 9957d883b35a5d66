"""The agent in a pod and its switch: what they take, refuse, keep and end; the real child's lines, and a pod without rights."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))
from pod_sim import FITTED

from pipelines.training.launchers import pod_agent, pod_main
from pipelines.training.launchers.archives import Archive, pack, unpack
from pipelines.training.launchers.pod_agent import PodAgent
from pipelines.training.launchers.pod_main import ChildRunner, agent_of
from pipelines.training.launchers.pod_switch import Switch
from registry.errors import DeniedError, InputError, IntegrityError, UnavailableError


class Pods:
    """RunPod's API as a pod's own key sees it."""

    def __init__(self) -> None:
        self.errors, self.ended = [], []

    def pod(self, number: str) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def terminate_pod(self, number: str) -> None:
        self.pod(number)
        self.ended.append(number)


class Steps:
    """A training whose steps the test takes."""

    def __init__(self) -> None:
        self.ahead, self.job, self.stopped = [], None, False

    def start(self, job, folder) -> None:
        self.job = job

    def poll(self):
        return self.ahead.pop(0) if self.ahead else ([], None)

    def stop(self) -> None:
        self.stopped = True

    def tail(self) -> str:
        return "its last words"


class World:
    def __init__(self, folder: Path) -> None:
        self.now, self.pods, self.runner = 1000.0, Pods(), Steps()
        self.switch = Switch(self.pods, "pod1", 5000.0, 600.0, lambda: self.now)
        self.agent = PodAgent(folder / "disk", SecretStr("token"), self.switch, self.runner)
        self.data = pack(folder / "data.tar", [], {"manifest.json": "{}"})

    def ask(self, method: str, path: str, body: bytes = b"", token: str = "token", **query: object):
        status, content = self.agent.handle(method, path, {name: str(value) for name, value in query.items()}, token, body)
        return status, json.loads(content) if content[:1] == b"{" else content

    def order(self, **change: object) -> bytes:
        usual = {"sha256": self.data.sha256, "bytes": self.data.size, "job": {"trainer": {"kind": "torch"}}, "deadline": 4000}
        return json.dumps(usual | change).encode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_wrong_token_learns_nothing_and_keeps_no_pod_alive(world) -> None:
    world.now += 599
    for token in ("", "tokeN", "token "):
        assert world.ask("GET", "/lines", token=token) == (401, {"detail": "the token is wrong"})
    world.now += 1
    assert world.switch.due == "nobody asked it anything for 600 s"


def test_a_piece_counts_once_and_only_in_its_place(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_agent, "PIECE", 6000)
    first, second = world.data.piece(0, 6000), world.data.piece(6000, 6000)
    assert world.ask("PUT", "/data", second, offset=6000) == (409, {"received": 0})
    assert world.ask("PUT", "/data", first, offset=0) == (200, {"received": 6000})
    assert world.ask("PUT", "/data", first, offset=0) == (409, {"received": 6000})
    assert world.ask("PUT", "/data", b"x" * 6001, offset=6000)[0] == 413
    assert world.ask("PUT", "/data", second, offset=6000) == (200, {"received": world.data.size})


def test_it_trains_on_the_bytes_that_were_announced_and_on_no_others(world) -> None:
    world.switch.tick()
    world.ask("PUT", "/data", world.data.piece(0), offset=0)
    for broken in (b"{", b"[]", world.order(sha256="0" * 64), world.order(bytes=1), b'{"deadline": 1e9}'):
        assert world.ask("POST", "/train", broken)[0] == 422
    assert world.runner.job is None
    assert world.ask("POST", "/train", world.order())[0] == 200
    assert world.ask("POST", "/train", world.order())[0] == 200  # an answer that was lost is asked for again
    assert world.ask("POST", "/train", world.order(sha256="0" * 64))[0] == 409
    assert world.runner.job["trainer"] == {"kind": "torch"}
    assert Path(world.runner.job["data"], "manifest.json").read_text() == "{}"


def test_a_file_that_travelled_is_named_by_where_it_lies_here(world) -> None:
    world.switch.tick()
    world.ask("PUT", "/data", world.data.piece(0), offset=0)
    world.ask("POST", "/train", world.order(job={"trainer": {"kind": "torch", "weights": "data:weights/own.pt"}}))
    assert world.runner.job["trainer"]["weights"] == str(world.agent.folder / "data/weights/own.pt")


def test_lines_are_handed_out_from_where_one_asks(world) -> None:
    trained(world)
    world.runner.ahead = [(["a", "b"], None), (["c", FITTED], 0)]
    assert world.ask("GET", "/lines", after=0)[1]["lines"] == ["a", "b"]
    (world.agent.folder / "trained/model").mkdir()
    (world.agent.folder / "trained/model/weights").write_bytes(b"w")
    document = world.ask("GET", "/lines", after=1)[1]
    assert (document["lines"], document["state"], document["more"]) == (["b", "c", FITTED], "finished", False)
    status, content = world.ask("GET", "/model", offset=0)
    assert (status, len(content)) == (200, document["model"]["bytes"])


@pytest.mark.parametrize(("lines", "code"), [([], 0), ([FITTED], 1), (["{"], -9), ([FITTED], 0)])
def test_a_child_that_left_no_model_has_failed_and_its_last_words_are_kept(world, lines, code) -> None:
    trained(world)
    world.runner.ahead = [(lines, code)]
    document = world.ask("GET", "/lines")[1]
    assert document["state"] == "failed"
    assert "its last words" in document["detail"]


def test_at_its_deadline_the_training_ends_first_and_the_pod_until_it_works(world) -> None:
    trained(world)
    assert world.switch.deadline == 4000  # the client's, since it is earlier
    world.now = 4000.0
    world.switch.contact()
    world.pods.errors = [UnavailableError("RunPod", "is away", "wait"), DeniedError("RunPod", "no", "no")]
    for _ in range(3):
        world.agent.look()
        world.switch.tick()
        world.now += 10
    assert world.runner.stopped
    assert world.pods.ended[-1] == "pod1"


def test_a_later_deadline_is_not_taken(world) -> None:
    world.switch.bring_forward(9000)
    assert world.switch.deadline == 5000


def test_one_denial_may_be_the_network_s_and_three_are_runpod_s(world) -> None:
    denied = DeniedError("RunPod", "may not", "use another key")
    world.pods.errors = [denied]
    world.switch.tick()
    assert world.switch.protected is None
    world.now += 10
    world.switch.tick()
    assert world.switch.protected is True
    other = Switch(Pods(), "pod2", 5000.0, 600.0, lambda: world.now)
    other.pods.errors = [denied] * 3
    for _ in range(3):
        other.tick()
        world.now += 10
    assert (other.protected, "may not" in other.why_not) == (False, True)


def test_what_is_not_known_yet_is_asked_for_again_and_what_is_denied_trains_nothing(world) -> None:
    world.ask("PUT", "/data", world.data.piece(0), offset=0)
    assert world.ask("POST", "/train", world.order())[0] == 503
    world.switch.protected = False
    assert world.ask("POST", "/train", world.order())[0] == 403
    assert world.runner.job is None


def test_an_environment_that_says_too_little_is_one_line() -> None:
    env = {"MODELYARD_POD_TOKEN": "t", "RUNPOD_POD_ID": "p", "RUNPOD_API_KEY": "k", "MODELYARD_RUNPOD_URL": "http://x"}
    with pytest.raises(InputError, match="MODELYARD_POD_DEADLINE"):
        agent_of(env)
    with pytest.raises(InputError, match="soon"):
        agent_of(env | {"MODELYARD_POD_DEADLINE": "soon", "MODELYARD_POD_SILENCE_S": "1"})


def test_the_real_child_s_lines_come_whole_and_its_exit_after_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "child.py"
    script.write_text(
        "import os, sys\nprint('one', flush=True)\nprint('noise', file=sys.stderr)\n"
        "print('MODELYARD_POD_TOKEN' in os.environ, flush=True)\nsys.stdout.write('half')\nsys.exit(3)"
    )
    monkeypatch.setenv("MODELYARD_POD_TOKEN", "hush")
    start = pod_main.subprocess.Popen
    monkeypatch.setattr(pod_main.subprocess, "Popen", lambda _, **options: start([sys.executable, str(script)], **options))
    runner, lines, code = ChildRunner(), [], None
    runner.start({"trainer": {}}, tmp_path)
    until = time.monotonic() + 60
    while code is None and time.monotonic() < until:
        fresh, code = runner.poll()
        lines += fresh
        time.sleep(0.01)
    assert (lines, code) == (["one", "False"], 3)  # no token reaches it, and half a line is none
    assert runner.tail() == "noise"


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a/../../out"])
def test_an_archive_that_leads_elsewhere_is_not_unpacked(name: str, tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.tar", [], {name: "x"})
    with pytest.raises(IntegrityError):
        unpack(archive, tmp_path / "in" / "to")
    assert not list(tmp_path.rglob("out"))


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        link = tarfile.TarInfo("model")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    with pytest.raises(IntegrityError, match="is no file"):
        unpack(Archive.of(tmp_path / "x.tar"), tmp_path / "into")


def trained(world: World) -> None:
    world.switch.tick()
    world.ask("PUT", "/data", world.data.piece(0), offset=0)
    assert world.ask("POST", "/train", world.order())[0] == 200
