"""RunPod, over HTTP against its double: what goes wrong there ends in a stated outcome, with nothing left behind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from chaos import RATES, Chaos

from registry.errors import InputError, IntegrityError, NotFoundError, RefusedError, UnavailableError
from serving.fakes.runpod.check import FIELDS
from serving.targets.runpod.release import Release
from serving.targets.runpod.release_spec import new_endpoint
from serving.targets.runpod.shapes import EndpointChanges


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as found:
        yield found


def passes(_) -> None:
    return


def fails(_) -> None:
    raise IntegrityError("endpoint", "answers wrongly", "export again")


def names(world: clouds.RunPodWorld) -> list[str]:
    return sorted(one.spec["name"] for one in world.double.cloud.endpoints.values())


def test_what_is_sent_is_what_is_published(world, make_bundle, tmp_path: Path) -> None:
    if not clouds.SPEC.exists():
        pytest.skip("../shared/specs is not here: it belongs to the project's own machines")
    target = world.target(registry="mine", template="base", data_centers=("EU-RO-1",), bundle_secret="hub")
    world.double.cloud.registries["reg1"] = {"name": "mine"}
    world.double.cloud.templates["tpl1"] = {"name": "base", "image": "x", "env": {"A": "1"}}
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    (one,) = world.double.cloud.endpoints.values()
    check = world.double.control.checker.by_document
    assert check("Endpoint", world.double.control.shown(one)) == []
    assert one.spec["registry"] == "reg1"
    assert one.spec["env"]["A"] == "1"
    assert one.spec["env"]["MODELYARD_BUNDLE_TOKEN"] == "{{ RUNPOD_SECRET_hub }}"
    assert (one.spec["flashboot"], one.spec["timeout"]) == ("FLASHBOOT", 60_000)
    assert check("UpdateEndpointRequest", EndpointChanges(image="x", imag="y").as_dict() | {"imag": "y"}) != []


def test_the_double_knows_the_fields_that_are_published(world) -> None:
    if not clouds.SPEC.exists():
        pytest.skip("../shared/specs is not here: it belongs to the project's own machines")
    schemas = json.loads(clouds.SPEC.read_text())["components"]["schemas"]

    def properties(schema: dict) -> set[str]:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return set(schema.get("properties", {})).union(*map(properties, schema.get("allOf", [])))

    for name, fields in FIELDS.items():
        assert set(fields) == properties(schemas[name]), name


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"nme": "x"}, 422),
        ({"workers": {"mn": 1}}, 422),
        ({"type": "POD"}, 422),
        ({"cpu": [{"id": "cpu5c", "vcpuCount": 2}]}, 400),
    ],
)
def test_the_double_refuses_what_runpod_would(world, how, status) -> None:
    good = {
        "name": "x",
        "image": "y",
        "type": "QUEUE",
        "gpu": {"pools": ["AMPERE_16"]},
        "scaling": {"type": "QUEUE_DELAY", "queueDelay": 1},
    }
    headers = {"Authorization": "Bearer rpa_double"}
    assert httpx.post(f"{world.url}/v2/serverless", json=good, headers=headers).status_code == 201
    assert httpx.post(f"{world.url}/v2/serverless", json=good | how, headers=headers).status_code == status
    assert httpx.get(f"{world.url}/v1/endpoints", headers=headers).status_code == 410


def test_a_wrong_key_is_one_line_that_does_not_show_it(world) -> None:
    with pytest.raises(InputError, match="RUNPOD_API_KEY") as error:
        world.client("rpa_secret").endpoints()
    assert "rpa_secret" not in str(error.value)


def test_a_lost_answer_makes_no_second_endpoint(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("lost", "^POST /v2/serverless$")
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert names(world) == ["modelyard-hand"]


def test_two_of_one_name_become_one_and_the_older_stays(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    cloud = world.double.cloud
    world.clock.advance(5)
    cloud.create(dict(cloud.endpoints[live.handle].spec))
    assert len(names(world)) == 2
    assert target.deploy("hand", make_bundle(tmp_path / "again"), passes).handle == live.handle
    assert names(world) == ["modelyard-hand"]


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
    assert names(world) == []


def test_without_capacity_each_pool_is_tried(world, make_bundle, tmp_path: Path) -> None:
    world.double.faults.add("no-capacity", "^POST", times=2)
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    (one,) = world.double.cloud.endpoints.values()
    assert one.spec["gpu"]["pools"] == ["AMPERE_24"]
    world.double.faults.add("no-capacity", "^POST", times=9)
    with pytest.raises(InputError, match="no instances"):
        world.target().deploy("other", make_bundle(tmp_path / "one"), passes)


@pytest.mark.parametrize(("fault", "said"), [("unhealthy", "exit code 1"), ("stuck", "gave no answer in")])
def test_workers_that_never_come_up_are_told_and_taken_away(world, make_bundle, tmp_path: Path, fault: str, said: str) -> None:
    world.double.faults.add(fault, "^POST")
    with pytest.raises(UnavailableError, match=said):
        world.target(start_seconds=60).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert names(world) == []


def test_a_worker_whose_bundle_is_another_one_is_told(world, make_bundle, tmp_path: Path) -> None:
    target, bundle = world.target(start_seconds=60), make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    (world.shelf.folder / bundle.index.digest / "labels.json").write_text("[]")
    world.shelf.put = lambda _: f"{world.shelf.url}/{bundle.index.digest}"
    with pytest.raises(UnavailableError, match="is not the file that the bundle was sealed"):
        target.deploy("hand", bundle, passes)
    assert names(world) == []


def test_a_roll_out_that_never_ends_is_taken_back(world, make_bundle, picture, tmp_path: Path) -> None:
    target = world.target(min_workers=1, start_seconds=60)
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.double.faults.add("stale", "^PATCH")
    with pytest.raises(UnavailableError, match="still run the older release"):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert target.find("hand") == old
    assert target.ask(old)(picture("red"))["red"] > 0.9
    assert names(world) == ["modelyard-hand"]


def test_a_new_bundle_that_answers_wrongly_never_reaches_the_endpoint(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    old = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    versions = [one.version for one in world.double.cloud.endpoints.values()]
    with pytest.raises(IntegrityError):
        target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), fails)
    assert [one.version for one in world.double.cloud.endpoints.values()] == versions
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
    assert names(world) == []
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


@pytest.mark.journey
@pytest.mark.parametrize("plan", [("load_balancer", 1000, 0.009), ("queue", 400, 0.006)])
def test_a_thousand_deployments_under_random_faults(
    world, make_bundle, picture: Callable[..., bytes], tmp_path: Path, plan: tuple[str, int, float]
) -> None:
    """Every one ends in a stated outcome; nothing is leaked, nothing doubled; none is deployed over the cap."""
    cloud, (mode, count, cap) = world.double.cloud, plan
    bundles = [make_bundle(tmp_path / str(n), version=n, gain=20.0 + n) for n in range(1, 6)]
    for bundle in bundles:
        world.shelf.put(bundle)

    def mine(name: str) -> list:
        return [one for one in cloud.endpoints.values() if one.spec["name"].startswith(f"modelyard-{name}")]

    def served(name: str) -> str | None:
        found = [one.spec["env"]["MODELYARD_BUNDLE"] for one in mine(name) if not one.spec["name"].endswith("-next")]
        return found[0] if found else None

    def spent(name: str) -> float:
        return sum(one.billed(world.clock.now()) for one in mine(name))

    told = {"pools": ("AMPERE_16", "AMPERE_24"), "start_seconds": 60, "idle_seconds": 5, "max_workers": 1, "mode": mode}
    target = world.target(**told, max_usd_per_month=cap)
    world.double.faults.rates = RATES | {"no-capacity": 0.02, "stale": 0.03}
    chaos = Chaos(target, bundles, served, spent, cap)
    # a queue's health wakes nobody: what is tried out there is asked
    chaos.run(count, passes if mode == "load_balancer" else lambda ask: ask(picture("red")), fails)
    world.double.faults.calm()
    chaos.check(world.leaks(), most_torn=10)
    assert sum(chaos.ends.values()) == count
    assert chaos.ends["deployed"] > count * 0.4
    assert chaos.ends["over the cap"] > 0
    every = [*cloud.endpoints.values(), *cloud.deleted]
    assert max(one.billed(world.clock.now()) for one in every) <= cap + chaos.dearest, "more than the cap and one deployment"
    left = [one.spec["name"].removeprefix("modelyard-").removesuffix("-next") for one in cloud.endpoints.values()]
    chaos.target = world.target(**told)
    chaos.mend(left, passes)
    assert world.leaks() == []
    assert {live.name for live in target.list()} <= set(chaos.meant)
    for live in target.list():
        target.delete(live.name)
    assert cloud.endpoints == {}
    with pytest.raises(NotFoundError):
        target.logs("model01", 1)


# What a review found: settings, undo, what is not ours.


def test_other_settings_of_the_same_bundle_are_tried_out_and_put_back(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.target().deploy("hand", bundle, passes)
    before = json.dumps(world.double.cloud.endpoints["ep000000001"].spec, sort_keys=True)
    with pytest.raises(IntegrityError):
        world.target(image="docker.io/someone/broken:1", data_centers=("EU-RO-1",)).deploy("hand", bundle, fails)
    (one,) = world.double.cloud.endpoints.values()
    assert json.dumps(one.spec, sort_keys=True) == before
    world.target(max_workers=5).deploy("hand", bundle, passes)
    assert one.spec["workers"]["max"] == 5


def test_a_first_deployment_that_was_cut_off_is_proven_by_the_next(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    target = world.target()
    release = Release.of(bundle, f"{world.shelf.url}/{bundle.index.digest}")
    target._create("hand", target._spec(release, None))  # and then the power went
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
                new_endpoint("modelyard-hand", target.config, target._spec(release, None))
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
        (one,) = world.double.cloud.endpoints.values()
        assert one.spec["env"]["A"] == "1"
    assert one.version == 2  # the same again changes nothing


@pytest.mark.parametrize(("told", "said"), [({"pools": ()}, "has a GPU"), ({"mode": "queue"}, "is a LOAD_BALANCER")])
def test_what_runpod_cannot_change_is_said_before_anything_is_paid(
    told: dict, said: str, world, make_bundle, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    world.target().deploy("hand", bundle, passes)
    made = world.double.cloud.serial
    with pytest.raises(InputError, match=said):
        world.target(**told).deploy("hand", bundle, passes)
    assert world.double.cloud.serial == made


def test_what_somebody_else_made_is_left_alone(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.shelf.put(bundle)
    target = world.target()
    release = Release.of(bundle, world.shelf.url)
    new = new_endpoint("modelyard-hand", target.config, target._spec(release, None))
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
    assert world.clock.now() - began < 60
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
