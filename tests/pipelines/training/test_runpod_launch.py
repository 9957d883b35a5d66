"""A launch on a pod: quoted, fed, followed, fetched from and ended; what goes wrong ends in one line, and leaves no pod."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pod_sim import PodSim

from pipelines.training.launchers.archives import unpack
from registry.errors import DeniedError, InputError, IntegrityError, ModelyardError, RefusedError, UnavailableError


@pytest.fixture
def world(tmp_path: Path) -> PodSim:
    return PodSim(tmp_path)


def test_a_launch_trains_on_the_cheapest_and_leaves_nothing_behind(world, tmp_path: Path) -> None:
    launcher = world.launcher()
    model = world.launch(launcher=launcher)
    unpack(model, tmp_path / "out")
    assert (tmp_path / "out/model/weights").read_text() == "trained by torch"
    assert world.epochs() == list(range(1, 11))
    assert world.cloud.leaks() == []
    assert len(world.cloud.gone) == 1
    assert world.said[0].startswith("quote: a pod with NVIDIA RTX A4000 at $0.2500/h, else NVIDIA A40")
    assert launcher.hardware == "runpod: NVIDIA RTX A4000 x 1"
    assert float(launcher.meter.usd) == pytest.approx(world.cloud.spent(), abs=1e-6)


def test_the_token_is_a_secret_and_in_no_environment(world) -> None:
    seen = []
    step = world.cloud.advance

    def look(seconds: float) -> None:
        step(seconds)
        seen.extend(pod.spec["env"]["MODELYARD_POD_TOKEN"] for pod in world.cloud.pods.values())
        tokens.update(secret["value"] for secret in world.cloud.secrets.values())

    tokens: set[str] = set()
    world.sleep = look
    world.launch()
    assert len(tokens) == 1
    assert all(re.fullmatch(r"\{\{ RUNPOD_SECRET_modelyard_pod_[0-9a-f]{12} \}\}", text) for text in seen)
    assert seen
    token = tokens.pop()
    assert not any(token in text for text in [*seen, *world.said])


def test_data_goes_in_pieces_and_a_lost_answer_sends_none_twice(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.training.launchers.pod_link.PIECE", 1000)
    handle, pieces = world.control.handle, []
    monkeypatch.setattr(
        world.control, "handle", lambda ask: (pieces.append(ask) if ask.method == "PUT" else None, handle(ask))[1]
    )
    world.control.faults.add("lost", "^PROXY PUT", times=2)
    world.control.faults.add("502", "^PROXY GET /model", times=2)
    world.control.faults.add("dropped", "^PROXY GET /lines", times=3)
    world.launch()
    size = world.data().size
    assert len(pieces) == -(-size // 1000) + 2  # two were sent again, since their answer never came
    assert world.epochs() == list(range(1, 11))
    assert world.cloud.leaks() == []


@pytest.mark.parametrize("fault", ["bad-host", "error"])
def test_a_bad_host_is_left_for_another(world, fault: str) -> None:
    world.control.faults.add(fault, "^POST /v2/pods$")
    launcher = world.launcher()
    world.launch(launcher=launcher)
    assert [pod.spec["gpu"]["id"] for pod in world.cloud.gone] == ["NVIDIA RTX A4000", "NVIDIA A40"]
    assert any("trying another host" in line for line in world.said)
    assert launcher.meter.usd > Decimal("0.03")  # the bad one is paid too


def test_hosts_that_are_all_bad_end_in_one_line_within_the_cap(world) -> None:
    world.control.faults.add("bad-host", "^POST /v2/pods$", times=9)
    with pytest.raises(UnavailableError, match="hosts never came up"):
        world.launch(max_usd="0.5", max_minutes=120)
    assert world.cloud.spent() <= 0.5
    assert world.cloud.leaks() == []


def test_without_capacity_the_next_candidate_is_tried_and_none_is_said(world) -> None:
    world.control.faults.add("no-capacity", "^POST /v2/pods$")
    world.launch()
    assert [pod.spec["gpu"]["id"] for pod in world.cloud.gone] == ["NVIDIA A40"]
    world.control.faults.add("no-capacity", "^POST /v2/pods$", times=9)
    with pytest.raises(InputError, match="has none of NVIDIA RTX A4000, NVIDIA A40 now"):
        world.launch()
    assert world.cloud.leaks() == []


def test_a_gpu_that_the_key_may_not_have_is_skipped(world) -> None:
    world.control.faults.add("403", "^POST /v2/pods$")
    world.launch()
    assert [pod.spec["gpu"]["id"] for pod in world.cloud.gone] == ["NVIDIA A40"]
    world.control.faults.add("403", "^POST /v2/pods$", times=9)
    with pytest.raises(DeniedError, match="1010"):
        world.launch()


@pytest.mark.parametrize("lag", [0.0, 20.0])
def test_a_lost_answer_starts_no_second_pod_however_late_lists_are(world, lag: float) -> None:
    world.cloud.list_lag_s = lag
    world.control.faults.add("lost", "^POST /v2/pods$")
    world.control.faults.add("lost", "^POST /v2/account/secrets$")
    world.launch()
    assert (world.cloud.serial, world.cloud.most_alive, len(world.started)) == (2, 1, 1)  # one secret, one pod
    assert world.cloud.leaks() == []


def test_a_pod_that_shows_up_very_late_is_swept(world) -> None:
    world.cloud.list_lag_s = 90.0  # longer than any search
    world.control.faults.add("lost", "^POST /v2/pods$")
    world.launch()
    assert len(world.started) == 1
    assert world.cloud.leaks() == []


@pytest.mark.parametrize(
    ("fault", "where", "error", "message"),
    [
        ("402", "^POST /v2/pods$", RefusedError, "add credit"),
        ("dies", "^POST /v2/pods$", UnavailableError, "RunPod says EXITED"),
    ],
)
def test_what_cannot_go_on_is_one_line(world, fault: str, where: str, error: type, message: str) -> None:
    world.train_s = 3000
    world.cloud.random.random = lambda: 0.3
    world.control.faults.add(fault, where)
    with pytest.raises(error, match=message):
        world.launch()
    assert world.cloud.leaks() == []


def test_a_training_that_fails_says_what_it_printed(world) -> None:
    world.exit_code = 3
    with pytest.raises(ModelyardError, match="ended with 3: the end of the log"):
        world.launch()
    assert world.cloud.leaks() == []


def test_a_wrong_key_is_one_line_before_anything_is_made(world) -> None:
    with pytest.raises(DeniedError, match="RUNPOD_API_KEY"):
        world.launch(key="rpa_wrong")
    assert world.cloud.serial == 0


@pytest.mark.parametrize(
    ("launch", "error", "message"),
    [
        ({"gpus": ("NVIDIA H100 80GB HBM3",), "max_usd": "0.05"}, RefusedError, r"max_usd \$0.0500 pays for 0.8 minutes"),
        ({"gpus": ("A40",)}, InputError, "did you mean 'NVIDIA A40'"),
        ({"gpus": ("NVIDIA A4O",)}, InputError, "did you mean 'NVIDIA A40'"),
        ({"gpus": ("NVIDIA L4",), "cloud": "community"}, InputError, "is not offered in the community cloud"),
        ({"max_minutes": 5}, InputError, "max_minutes 5 is less than the 10 minutes"),
        ({"gpus": ("NVIDIA L4",)}, InputError, "has none of NVIDIA L4 now"),
    ],
)
def test_what_the_quote_cannot_meet_is_refused_before_a_pod_is_made(world, launch, error, message) -> None:
    with pytest.raises(error, match=message):
        world.launch(**launch)
    assert world.cloud.gone == []
    assert world.cloud.leaks() == []


def test_a_pod_that_could_not_end_itself_trains_nothing(world) -> None:
    world.control.scoped_may_delete = False
    with pytest.raises(RefusedError, match="key_secret"):
        world.launch()
    assert world.started == []
    assert world.cloud.leaks() == []


def test_a_key_in_a_secret_stands_in_for_the_pod_s_own(world) -> None:
    world.control.scoped_may_delete = False
    world.cloud.secrets["mine"] = {
        "id": "mine",
        "name": "ending_key",
        "value": "rpa_double",
        "createdAt": "2026-11-26T00:00:00Z",
    }
    world.launch(key_secret="ending_key")
    assert world.cloud.leaks() == ["ending_key"]


def test_a_price_above_the_catalogue_s_shortens_the_time(world) -> None:
    world.train_s = 100_000
    create = world.cloud.create
    world.cloud.create = lambda spec, usd, fate="": create(spec, usd * 3, fate)
    with pytest.raises(RefusedError, match=r"ended at \$0"):
        world.launch(max_usd="0.30", max_minutes=600)
    assert any("not $0.25 as in the catalogue" in line for line in world.said)
    assert world.cloud.spent() <= 0.30


def test_a_model_that_changed_on_the_way_is_not_unpacked(world, tmp_path: Path) -> None:
    model = world.launch()
    model.path.write_bytes(model.path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="other bytes"):
        unpack(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_the_pod(world) -> None:
    step, world.train_s = world.cloud.advance, 100_000

    def interrupted(seconds: float) -> None:
        step(seconds)
        if world.started:
            world.sleep = step
            raise KeyboardInterrupt

    world.sleep = interrupted
    with pytest.raises(KeyboardInterrupt):
        world.launch()
    assert world.cloud.leaks() == []
