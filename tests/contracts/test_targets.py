"""Every deploy target: idempotent, flips only after the smoke test, keeps the old one when the new one fails."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

sys.path.insert(0, str(Path(__file__).parent))
import clouds

from pipelines.deployment.targets import Targets
from pipelines.job.deploys import DeployConfig
from registry.errors import InputError, IntegrityError, ModelyardError, NotFoundError
from registry.settings import Settings
from serving.targets.contract import Ask, Target, Timed
from serving.targets.local.target import LocalTarget
from serving.targets.memory.target import MemoryTarget

THEIRS = """
from serving.targets.memory.target import MemoryTarget

class Shelf(MemoryTarget):
    def __init__(self, options):
        super().__init__()
        self.room = options["room"]
"""


def another_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A target that a distribution on the path offers by its entry point, as a job file names it."""
    about = folder / "shelves-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "their_shelves.py").write_text(THEIRS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shelves\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[modelyard.targets]\nshelf = their_shelves:Shelf\n")
    monkeypatch.syspath_prepend(str(folder))
    config = TypeAdapter(DeployConfig).validate_python({"kind": "shelf", "options": {"room": "attic"}})
    made = Targets(Settings(home=folder)).build(config)
    assert made.room == "attic"
    return made


def test_a_kind_that_no_package_offers_names_those_that_are_known() -> None:
    with pytest.raises(ValidationError, match="known: local, runpod, huggingface"):
        TypeAdapter(DeployConfig).validate_python({"kind": "shelf"})


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine an endpoint of this machine is slow, and neither dead nor broken."""
    for limit in ("_START_S", "_HEALTH_S", "_ASK_S"):
        monkeypatch.setattr(f"serving.targets.local.target.{limit}", clouds.NO_HURRY_S)


@pytest.fixture(params=["memory", "local", "runpod", "runpod-queue", "huggingface", "another package's"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    if request.param == "memory":
        yield MemoryTarget()
    elif request.param == "another package's":
        yield another_packages(tmp_path / "site", monkeypatch)
    elif request.param == "local":
        local = LocalTarget(tmp_path / "deployments")
        yield local
        local.stop_all()
    elif request.param == "huggingface":
        with clouds.huggingface_world(tmp_path / "cloud") as world:
            yield world.target()
            assert world.leaks() == []
    else:
        with clouds.runpod_world(tmp_path / "cloud") as world:
            yield world.target(mode="queue" if request.param == "runpod-queue" else "load_balancer")
            assert world.leaks() == []


def passes(_: Ask) -> None:
    return


def fails(_: Ask) -> None:
    raise IntegrityError("endpoint", "answers wrongly", "export again")


def test_a_deployment_answers_and_is_listed(target: Target, make_bundle, tmp_path: Path) -> None:
    live = target.deploy("hand-production", make_bundle(tmp_path / "one"), passes)
    assert target.find("hand-production") == live
    assert target.list() == [live]
    assert target.answers(live)


def test_how_long_a_new_worker_took_until_it_answered_is_measured(target: Target, make_bundle, picture, tmp_path: Path) -> None:
    if not isinstance(target, Timed):
        assert type(target).__name__ not in {"LocalTarget", "RunPodTarget", "HuggingFaceTarget"}
        return
    assert target.ready.seconds is None
    target.deploy("hand", make_bundle(tmp_path / "one"), lambda ask: ask(picture("red")))
    assert target.ready.seconds is not None
    assert target.ready.seconds > 0
    if hasattr(target, "clock"):
        assert target.ready.seconds >= 1, "the doubles' workers take some seconds of their clock"


def test_deploying_the_same_again_changes_nothing(target: Target, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    smoked: list[Ask] = []
    first = target.deploy("hand", bundle, smoked.append)
    assert target.deploy("hand", bundle, smoked.append) == first
    assert len(smoked) <= 2  # a cloud cannot know whether the command before came to its end, and proves it again


def test_it_answers_what_the_model_answers_and_so_does_the_smoke_test(
    target: Target, make_bundle, picture, tmp_path: Path
) -> None:
    answers: list[dict[str, float]] = []
    live = target.deploy("hand", make_bundle(tmp_path / "one"), lambda ask: answers.append(ask(picture("green"))))
    answers.append(target.ask(live)(picture("red")))
    assert [max(answer, key=answer.__getitem__) for answer in answers] == ["green", "red"]
    with pytest.raises(ModelyardError):
        target.ask(live)(b"no image")


def test_status_and_logs(target: Target, make_bundle, tmp_path: Path) -> None:
    assert target.status("hand").state == "gone"
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert target.status("hand").state in {"live", "asleep"}
    assert isinstance(target.logs("hand", 5), list)
    with pytest.raises(NotFoundError):
        target.logs("nobody", 5)


def test_a_quote_is_dated_and_never_negative(target: Target) -> None:
    quote = target.quote()
    assert 0 <= quote.usd_per_idle_month <= quote.usd_per_month_at_most
    assert quote.as_of
    assert quote.source


def test_a_rollback_brings_back_the_bundle_before(target: Target, make_bundle, picture, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        target.rollback("hand", passes)
    first, second = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "two", version=2, gain=30.0)
    target.deploy("hand", first, passes)
    target.deploy("hand", second, passes)
    back = target.rollback("hand", passes)
    assert (back.version, back.bundle) == (1, first.index.digest)
    assert target.find("hand") == back
    assert target.answers(back)
    assert target.ask(back)(picture("blue"))["blue"] > 0.9


def test_a_new_bundle_takes_over_and_the_old_one_stops(target: Target, make_bundle, tmp_path: Path) -> None:
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    new = target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert target.find("hand") == new
    assert target.answers(new)
    assert not target.answers(old)
    assert len(target.list()) == 1


def test_a_failed_smoke_test_leaves_the_old_one_serving(target: Target, make_bundle, tmp_path: Path) -> None:
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    with pytest.raises(IntegrityError, match="answers wrongly"):
        target.deploy("hand", make_bundle(tmp_path / "two", gain=30.0), fails)
    assert target.find("hand") == old
    assert target.answers(old)


def test_deleting_stops_and_forgets_and_may_be_done_twice(target: Target, make_bundle, tmp_path: Path) -> None:
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    target.delete("hand")
    target.delete("hand")
    assert target.find("hand") is None
    assert not target.answers(live)


def test_a_local_endpoint_answers_over_http(make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> None:
    local = LocalTarget(tmp_path / "deployments")
    try:
        live = local.deploy("hand", make_bundle(tmp_path / "one"), passes)
        assert live.url.startswith("http://127.0.0.1:")
        assert httpx.post(f"{live.url}/predict", content=picture("red"), timeout=10).json()["label"] == "red"
    finally:
        local.stop_all()


def test_a_process_left_by_a_crash_is_ended_by_the_next_deployment(make_bundle, tmp_path: Path) -> None:
    local = LocalTarget(tmp_path / "deployments")
    bundle = make_bundle(tmp_path / "one")
    orphan = local._start("hand", bundle, local._free_port("hand"))
    local._wait(orphan)
    try:
        live = local.deploy("hand", bundle, passes)
        assert live.handle != orphan.handle
        assert not local.answers(orphan)
        assert not list((tmp_path / "deployments").glob("*.candidate.json"))
    finally:
        local.stop_all()


def test_a_killed_endpoint_is_noticed_and_brought_back(make_bundle, tmp_path: Path) -> None:
    import os
    import signal

    local = LocalTarget(tmp_path / "deployments")
    bundle = make_bundle(tmp_path / "one")
    try:
        live = local.deploy("hand", bundle, passes)
        os.kill(int(live.handle), signal.SIGKILL)
        os.waitpid(int(live.handle), 0)
        assert not local.answers(live)
        again = local.deploy("hand", bundle, passes)
        assert local.answers(again)
    finally:
        local.stop_all()


def test_a_port_that_somebody_else_holds_is_one_line(make_bundle, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        local = LocalTarget(tmp_path / "deployments", other.getsockname()[1])
        with pytest.raises(InputError, match="is taken"):
            local.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert local.list() == []


def test_a_bundle_that_cannot_start_says_its_last_words(make_bundle, tmp_path: Path) -> None:
    from registry.errors import UnavailableError

    bundle = make_bundle(tmp_path / "one")
    (bundle.folder / "labels.json").write_text("[]")
    local = LocalTarget(tmp_path / "deployments")
    with pytest.raises(UnavailableError, match=r"labels\.json"):
        local.deploy("hand", bundle, passes)
    assert local.list() == []


def test_an_endpoint_whose_starter_never_buries_it_ends_all_the_same(
    make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reconciler starts it, a command ends it: until its parent asks, it stays in the process table."""
    import subprocess

    monkeypatch.setattr("serving.targets.local.target._STOP_S", 1e6)  # waiting for it would take for ever
    bundle = make_bundle(tmp_path / "one")
    script = f"""
import sys
from pathlib import Path
from serving.bundle.bundle import open_bundle
from serving.targets.local.target import LocalTarget
LocalTarget(Path({str(tmp_path / "deployments")!r})).deploy("hand", open_bundle(Path({str(bundle.folder)!r})), lambda _: None)
print("up", flush=True)
sys.stdin.read()
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout.readline() == "up\n"
        local = LocalTarget(tmp_path / "deployments")
        local.delete("hand")
        assert local.list() == []
        assert starter.poll() is None
    finally:
        starter.kill()
        starter.communicate()
