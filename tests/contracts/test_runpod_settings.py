"""RunPod: an endpoint's settings change and are put back, what is not ours is left alone, a queue is asked as queues are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import fails, passes

from registry.errors import InputError, IntegrityError, RefusedError, UnavailableError
from serving.targets.runpod.release import Release
from serving.targets.runpod.release_spec import new_endpoint


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


def test_other_settings_of_the_same_bundle_are_tried_out_and_put_back(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.target().deploy("hand", bundle, passes)
    before = json.dumps(world.double.cloud.endpoints["ep000000001"].spec, sort_keys=True)
    with pytest.raises(IntegrityError):
        world.target(image="docker.io/someone/broken:1", data_centers=("EU-RO-1",)).deploy("hand", bundle, fails)
    (endpoint,) = world.double.cloud.endpoints.values()
    assert json.dumps(endpoint.spec, sort_keys=True) == before
    world.target(max_workers=5).deploy("hand", bundle, passes)
    assert endpoint.spec["workers"]["max"] == 5


def test_a_first_deployment_that_was_cut_off_is_proven_by_the_next(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    target = world.target()
    release = Release.of(bundle, f"{world.shelf.url}/{bundle.index.digest}")
    target.maker.create("hand", target._spec("hand", release, None))  # and then the power went
    with pytest.raises(IntegrityError):
        target.deploy("hand", bundle, fails)
    smoked = []
    target.deploy("hand", bundle, smoked.append)
    assert len(smoked) == 1


def test_an_answer_that_comes_very_late_leaves_one_endpoint_and_that_one_is_proven(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    target = world.target()
    release = Release.of(bundle, f"{world.shelf.url}/{bundle.index.digest}")
    smoked = []

    def late(ask) -> None:
        if not smoked:  # the request whose answer was lost shows only now
            find_identical = target.client.create_endpoint(
                new_endpoint("modelyard-hand", target.config, target._spec("hand", release, None))
            )
            world.double.cloud.endpoints[find_identical.id].created -= 100
        smoked.append(ask)

    live = target.deploy("hand", bundle, late)
    assert [live.handle] == list(world.double.cloud.endpoints)
    assert len(smoked) == 2


def test_a_template_s_own_variables_stay_when_the_bundle_changes(world, make_bundle, tmp_path: Path) -> None:
    world.double.cloud.templates["tpl1"] = {"name": "ours", "image": "x", "env": {"A": "1"}, "serverless": True}
    bundles = [make_bundle(tmp_path / str(number), gain=20.0 + number) for number in (1, 2)]
    target = world.target(template="ours")
    for bundle in (*bundles, bundles[1]):
        world.shelf.put(bundle)
        target.deploy("hand", bundle, passes)
        (endpoint,) = world.double.cloud.endpoints.values()
        assert endpoint.spec["env"]["A"] == "1"
    assert endpoint.version == 2  # the same again changes nothing


@pytest.mark.parametrize(("settings", "message"), [({"pools": ()}, "has a GPU"), ({"mode": "queue"}, "is a LOAD_BALANCER")])
def test_what_runpod_cannot_change_is_said_before_anything_is_paid(
    settings: dict, message: str, world, make_bundle, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.target().deploy("hand", bundle, passes)
    made = world.double.cloud.serial
    with pytest.raises(InputError, match=message):
        world.target(**settings).deploy("hand", bundle, passes)
    assert world.double.cloud.serial == made


def test_what_somebody_else_made_is_left_alone(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    target = world.target()
    release = Release.of(bundle, world.shelf.url)
    new = new_endpoint("modelyard-hand", target.config, target._spec("hand", release, None))
    target.client.create_endpoint(new.model_copy(update={"env": {"THEIRS": "1"}}))
    for act in (lambda: target.deploy("hand", bundle, passes), lambda: target.delete("hand")):
        with pytest.raises(RefusedError, match="was not made by Modelyard"):
            act()
    assert len(world.double.cloud.endpoints) == 1
    with pytest.raises(InputError, match="ends in '-next'"):
        target.deploy("hand-next", bundle, passes)


def test_a_queue_s_job_is_handed_over_once_however_long_its_worker_takes(world, make_bundle, picture, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.double.cloud.boot_s = 300.0
    live = world.target(mode="queue").deploy("hand", bundle, passes)
    assert world.target(mode="queue").ask(live)(picture("red"))["red"] > 0.9
    assert len(world.double.cloud.endpoints[live.handle].jobs) == 1


def test_a_queue_whose_workers_crash_says_so_soon(world, make_bundle, picture, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.double.faults.add("unhealthy", "^POST /v2/serverless$")
    began = world.clock.now()
    with pytest.raises(UnavailableError, match="only unhealthy workers: worker exited"):
        world.target(mode="queue").deploy("hand", bundle, lambda ask: ask(picture("red")) and None)
    assert 60 < world.clock.now() - began < 120  # seen twice, a minute apart
    assert world.double.cloud.endpoints == {}


def test_going_back_is_never_kept_from_by_the_cap(world, make_bundle, tmp_path: Path) -> None:
    for number in (1, 2):
        bundle = make_bundle(tmp_path / str(number), gain=20.0 + number)
        world.shelf.put(bundle)
        world.target().deploy("hand", bundle, passes)
    world.clock.advance(100)
    assert world.target(max_usd_per_month=0.000001).rollback("hand", passes).bundle != bundle.index.digest


def test_a_refusal_is_not_repeated_for_each_pool(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.double.faults.add("403", "^POST /v2/serverless$", times=2)
    with pytest.raises(InputError, match="403"):
        world.target().deploy("hand", bundle, passes)
    assert len(world.double.faults._waiting) == 1
    assert world.double.faults._waiting[0].times == 1
