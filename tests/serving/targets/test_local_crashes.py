"""A command that is killed anywhere, a record that is damaged in any way: what serves goes on, and the next deployment heals."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from local_endpoints import crash, passes, quick_server, running

from registry.errors import IntegrityError, ModelyardError
from serving.bundle.bundle import Bundle
from serving.targets.contract import LiveEndpoint
from serving.targets.local.target import LocalTarget


class Yard(NamedTuple):
    """A folder of endpoints, two bundles, and the environment of the server that starts at once."""

    target: LocalTarget
    bundles: list[Bundle]
    linger: Path

    def versions(self) -> list[int]:
        """Which bundle each running process serves."""
        return sorted(int(process.bundle.name[-1]) for process in running(self.target))


@pytest.fixture
def yard(make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    bundles = [make_bundle(tmp_path / f"bundle{number}", version=number + 1, gain=20.0 + number) for number in range(2)]
    for name, value in quick_server(tmp_path / "quick", [bundle.index.digest for bundle in bundles]).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("serving.targets.local.target._PATIENCE_S", 0.2)
    monkeypatch.setattr("serving.targets.local.target._START_S", 500.0)
    monkeypatch.setattr("serving.targets.local.target._HEALTH_S", 500.0)
    target = LocalTarget(tmp_path / "deployments")
    yield Yard(target, bundles, tmp_path / "quick" / "serving" / "linger")
    target.stop_all()
    assert running(target) == []


def test_a_deployment_killed_at_any_step_leaves_an_endpoint_that_answers_and_the_next_one_heals(yard: Yard) -> None:
    target, outcomes, code = yard.target, list[int](), -1
    target.deploy("hand", yard.bundles[0], passes)
    for step in range(1, 40):
        code = crash(lambda: target.deploy("hand", yard.bundles[1], passes), step)
        live = target.find("hand")
        assert live is not None, step
        assert target.answers(live), step
        outcomes.append(live.version)
        wanted = step % 2  # it goes on, or back
        healed = target.deploy("hand", yard.bundles[wanted], passes)
        assert target.answers(healed), step
        assert yard.versions() == [wanted], step
        target.deploy("hand", yard.bundles[0], passes)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert code == 0
    assert {1, 2} == set(outcomes)
    assert outcomes == sorted(outcomes), "there is one step at which it switches"
    assert len(outcomes) > 6


def test_a_deletion_killed_at_any_step_is_finished_by_the_next(yard: Yard) -> None:
    code = step = 0
    for step in range(1, 10):
        yard.target.deploy("hand", yard.bundles[0], passes)
        code = crash(lambda: yard.target.delete("hand"), step)
        yard.target.delete("hand")
        assert yard.versions() == []
        assert list(yard.target.folder.glob("*.json")) == []
        if code == 0:
            break
    assert code == 0
    assert step > 2


CONTENTS = {"empty": b"", "cut": b'{"name": "ha', "bytes": b"\xff\xfe\x00", "another shape": b"[1, 2]", "deep": b"[" * 100_000}
FIELDS = {"another name": {"name": "eye"}, "another host": {"url": "http://192.0.2.1:80"}, "no process": {"handle": "-"}}
DAMAGES = [*CONTENTS, *FIELDS, "a folder", "a link to nothing"]


def damaged(path: Path, how: str) -> None:
    path.unlink(missing_ok=True)
    if how in CONTENTS:
        path.write_bytes(CONTENTS[how])
    elif how in FIELDS:
        sound = LiveEndpoint(name="hand", model="colours", version=1, bundle="0", url="http://127.0.0.1:9", handle="1")
        path.write_text(sound.model_copy(update=FIELDS[how]).model_dump_json())
    elif how == "a folder":
        path.mkdir()
        (path / "kept").write_text("somebody's")
    else:
        path.symlink_to(path.parent / "nothing")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_record_is_healed_by_a_deployment_of_either_version(yard: Yard, how: str) -> None:
    target = yard.target
    for wanted in (0, 1):
        first = target.deploy("hand", yard.bundles[0], passes)
        for name in ("hand.json", "hand.before.json", "hand.candidate.json"):
            damaged(target.folder / name, how)
        known = target.find("hand")
        assert known is not None
        assert (known.url, known.handle, known.bundle) == (first.url, first.handle, first.bundle), "its process tells"
        assert target.list() == [known]
        asked = list[object]()
        live = target.deploy("hand", yard.bundles[wanted], asked.append)
        assert asked, "what no record proves is tested again"
        assert target.answers(live)
        assert (live.handle == first.handle) == (wanted == 0), "what serves the same already is kept"
        assert yard.versions() == [wanted]
        assert LocalTarget(target.folder).find("hand") == live
        target.delete("hand")
        assert (target.find("hand"), target.list(), yard.versions()) == (None, [], [])
    kept = [path.read_text() for path in target.folder.rglob("kept")]
    assert kept == (["somebody's"] * 6 if how == "a folder" else []), "what is not ours is moved aside"


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_record_whose_processes_are_none_or_two_is_replaced(yard: Yard, how: str) -> None:
    target = yard.target
    target.deploy("hand", yard.bundles[0], passes)
    damaged(target.folder / "hand.json", how)
    target._start("hand", yard.bundles[1], target._free_port("hand"))
    assert target.find("hand") is None
    assert target.answers(target.deploy("hand", yard.bundles[1], passes))
    assert yard.versions() == [1]
    target.stop_all()
    target._records.forget("hand")
    damaged(target.folder / "hand.json", how)
    assert (target.find("hand"), target.list()) == (None, [])
    assert target.answers(target.deploy("hand", yard.bundles[0], passes))


def test_a_damaged_record_of_the_bundle_before_says_so(yard: Yard) -> None:
    yard.target.deploy("hand", yard.bundles[0], passes)
    damaged(yard.target.folder / "hand.before.json", "cut")
    with pytest.raises(IntegrityError, match=r"hand\.before\.json.*is not the record of an endpoint"):
        yard.target.rollback("hand", passes)


def test_an_endpoint_that_only_came_back_still_has_the_bundle_before(yard: Yard) -> None:
    yard.target.deploy("hand", yard.bundles[0], passes)
    live = yard.target.deploy("hand", yard.bundles[1], passes)
    os.kill(int(live.handle), signal.SIGKILL)
    yard.target.deploy("hand", yard.bundles[1], passes)
    assert yard.target.rollback("hand", passes).version == 1


@pytest.mark.parametrize("path", ["hand.log", "hand.json", "hand.before.json"])
def test_nothing_is_written_through_a_symbolic_link(yard: Yard, tmp_path: Path, path: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    yard.target.deploy("hand", yard.bundles[0], passes)
    (yard.target.folder / path).unlink(missing_ok=True)
    (yard.target.folder / path).symlink_to(precious)
    yard.target.deploy("hand", yard.bundles[1], passes)
    assert precious.read_text() == "mine"
    assert yard.versions() == [1]


def test_a_process_gets_its_time_to_drain_before_it_is_killed(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.server.options import DRAIN_S
    from serving.targets.local import target as module

    assert module._STOP_S > DRAIN_S
    yard.linger.write_text("1")
    yard.target.deploy("hand", yard.bundles[0], passes)
    began = time.monotonic()
    yard.target.delete("hand")
    assert time.monotonic() - began >= 0.9
    yard.linger.write_text("600")
    monkeypatch.setattr(module, "_STOP_S", 0.3)
    yard.target.deploy("hand", yard.bundles[0], passes)
    yard.target.delete("hand")
    assert yard.versions() == [], "and no longer"


@pytest.mark.parametrize("name", ["", ".", "a/b", "../a", "a.before", "a.candidate", "a\0b"])
def test_a_name_that_would_be_anothers_record_is_refused(yard: Yard, name: str) -> None:
    with pytest.raises(ModelyardError, match="cannot be the name of an endpoint"):
        yard.target.deploy(name, yard.bundles[0], passes)
    assert not yard.target.folder.exists()


def test_a_process_that_hangs_on_its_fixed_port_is_replaced(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.targets.local.target._STOP_S", 1.0)  # it does not hear that it should end
    target = LocalTarget(yard.target.folder, port=_free())
    hung = target.deploy("hand", yard.bundles[0], passes)
    os.kill(int(hung.handle), signal.SIGSTOP)
    damaged(target.folder / "hand.json", "cut")
    assert target.answers(target.deploy("hand", yard.bundles[1], passes))
    assert yard.versions() == [1]


@pytest.mark.parametrize("status", [503, 500, 404])
def test_an_endpoint_that_says_it_cannot_answer_is_not_live_and_a_deployment_replaces_it(yard: Yard, status: int) -> None:
    sick = yard.target.deploy("hand", yard.bundles[0], passes)
    assert yard.target.probe(sick) == "live"
    status_file = yard.linger.with_name("status")
    status_file.write_text(str(status))
    assert yard.target.probe(sick) == "slow", "its process runs: its workers may come back"
    assert yard.target.status("hand").state == "broken"
    status_file.write_text("200")
    assert yard.target.probe(sick) == "live"
    assert yard.target.deploy("hand", yard.bundles[0], passes) == sick
    status_file.write_text(str(status))
    assert not yard.target._still_answers(sick)
    fresh = _deployed_once_it_is_well(yard, status_file)
    assert fresh.handle != sick.handle
    assert yard.versions() == [0]


def _deployed_once_it_is_well(yard: Yard, status_file: Path) -> LiveEndpoint:
    """A deployment of the same bundle, whose new process is well and finds the old one sick."""
    start = LocalTarget._start

    def well(*arguments: Any) -> LiveEndpoint:
        status_file.write_text("200")
        return start(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalTarget, "_start", well)
        return yard.target.deploy("hand", yard.bundles[0], passes)


def _free() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
