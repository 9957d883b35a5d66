"""RunPod, over HTTP against its double: what goes wrong there ends in a stated outcome, with nothing left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import fails, passes

from registry.errors import InputError, IntegrityError, RefusedError, UnavailableError


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


def test_a_wrong_key_is_one_line_that_does_not_show_it(world) -> None:
    with pytest.raises(InputError, match="RUNPOD_API_KEY") as error:
        world.client("rpa_secret").endpoints()
    assert "rpa_secret" not in str(error.value)


def test_a_lost_answer_makes_no_second_endpoint(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("lost", "^POST /v2/serverless$")
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names() == ["modelyard-hand"]


def test_two_of_one_name_become_one_and_the_older_stays(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    cloud = world.double.cloud
    world.clock.advance(5)
    cloud.create(dict(cloud.endpoints[live.handle].spec))
    assert len(world.names()) == 2
    assert target.deploy("hand", make_bundle(tmp_path / "again"), passes).handle == live.handle
    assert world.names() == ["modelyard-hand"]


@pytest.mark.parametrize("kind", ["429", "500", "503", "dropped"])
def test_what_passes_is_waited_for(world, make_bundle, tmp_path: Path, kind: str) -> None:
    world.double.faults.add(kind, "/v2/", times=3)
    before = world.clock.now()
    assert world.target().deploy("hand", make_bundle(tmp_path / "one"), passes).version == 1
    assert world.clock.now() > before


@pytest.mark.parametrize(("kind", "error"), [("402", RefusedError), ("403", InputError)])
def test_what_does_not_pass_stops_at_once(world, make_bundle, tmp_path: Path, kind: str, error: type) -> None:
    world.double.faults.add(kind, "^POST", times=9)
    with pytest.raises(error):
        world.target(pools=("AMPERE_16",)).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names() == []


def test_without_capacity_each_pool_is_tried(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("no-capacity", "^POST", times=2)
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    (endpoint,) = world.double.cloud.endpoints.values()
    assert endpoint.spec["gpu"]["pools"] == ["AMPERE_24"]
    world.double.faults.add("no-capacity", "^POST", times=9)
    with pytest.raises(InputError, match="no instances"):
        world.target().deploy("other", make_bundle(tmp_path / "one"), passes)


@pytest.mark.parametrize(("fault", "message"), [("unhealthy", "exit code 1"), ("stuck", "gave no answer in")])
def test_workers_that_never_come_up_are_told_and_taken_away(
    world, make_bundle, tmp_path: Path, fault: str, message: str
) -> None:
    world.double.faults.add(fault, "^POST")
    with pytest.raises(UnavailableError, match=message):
        world.target(start_seconds=60).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names() == []


def test_a_worker_whose_bundle_is_another_one_is_told(world, make_bundle, tmp_path: Path) -> None:
    target, bundle = world.target(start_seconds=60), make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    (world.shelf.folder / bundle.index.digest / "labels.json").write_text("[]")
    world.shelf.put = lambda _: f"{world.shelf.url}/{bundle.index.digest}"
    with pytest.raises(UnavailableError, match="is not the file that the bundle was sealed"):
        target.deploy("hand", bundle, passes)
    assert world.names() == []


def test_a_roll_out_that_never_ends_is_taken_back(world, make_bundle, picture, tmp_path: Path) -> None:
    target = world.target(min_workers=1, start_seconds=60)
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.double.faults.add("stale", "^PATCH")
    with pytest.raises(UnavailableError, match="still run the older release"):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert target.find("hand") == old
    assert target.ask(old)(picture("red"))["red"] > 0.9
    assert world.names() == ["modelyard-hand"]


def test_a_new_bundle_that_answers_wrongly_never_reaches_the_endpoint(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    versions = [endpoint.version for endpoint in world.double.cloud.endpoints.values()]
    with pytest.raises(IntegrityError):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), fails)
    assert [endpoint.version for endpoint in world.double.cloud.endpoints.values()] == versions
    assert target.answers(old)


def test_an_endpoint_that_runpod_put_to_sleep_is_seen_and_woken(world, make_bundle, tmp_path: Path) -> None:
    target, bundle = world.target(), make_bundle(tmp_path / "one")
    live = target.deploy("hand", bundle, passes)
    world.clock.advance(8 * 86_400)
    assert not target.answers(live)
    assert "quiet week" in target.status("hand").detail
    again = target.deploy("hand", bundle, passes)
    assert again.handle == live.handle
    assert target.answers(again)


def test_it_sleeps_when_nobody_asks_and_costs_nothing_then(world, make_bundle, tmp_path: Path) -> None:
    target = world.target(idle_seconds=30)
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.clock.advance(120)
    assert target.status("hand").state == "asleep"
    spent = world.double.cloud.spent()
    world.clock.advance(86_400)
    assert world.double.cloud.spent() == spent > 0


def test_what_costs_more_than_it_may_is_refused_before_anything_is_made(world, make_bundle, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"\$423\.40 a month .* over the \$50\.00 cap"):
        world.target(pools=("AMPERE_16",), min_workers=1, max_usd_per_month=50).deploy(
            "hand", make_bundle(tmp_path / "one"), passes
        )
    assert world.names() == []
    target = world.target(pools=("AMPERE_16",), max_usd_per_month=0.001)
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.clock.advance(3600)
    with pytest.raises(RefusedError, match="this month"):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)


def test_the_quote_is_the_dearest_of_what_is_allowed(world) -> None:
    assert world.target().quote().usd_per_busy_hour == Decimal("0.69")
    assert world.target(pools=()).quote().usd_per_busy_hour == Decimal("0.06")
    with pytest.raises(InputError, match="pool 'MOON': is not in RunPod's catalogue"):
        world.target(pools=("MOON",)).quote()


@pytest.mark.parametrize("setting", ["registry", "template"])
def test_a_name_that_runpod_does_not_know_is_one_line(world, make_bundle, tmp_path: Path, setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting} 'nope': is not at RunPod"):
        world.target(**{setting: "nope"}).deploy("hand", make_bundle(tmp_path / "one"), passes)


def test_a_static_place_says_what_to_upload(make_bundle, tmp_path: Path) -> None:
    from serving.targets.bundle_stores import StaticBundleStore

    bundle = make_bundle(tmp_path / "one")
    with clouds.shelf(tmp_path / "shelf") as shelf:
        with pytest.raises(InputError, match="upload the files of"):
            StaticBundleStore(shelf.url).put(bundle)
        shelf.put(bundle)
        assert StaticBundleStore(shelf.url).put(bundle) == f"{shelf.url}/{bundle.index.digest}"
