"""The client of RunPod's pods, against the double: every page is read, every refusal has its own error, waits are long enough."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pod_world import PodWorld, new_pod

from registry.errors import BusyError, DeniedError, InputError, NotFoundError, RefusedError, UnavailableError
from serving.fakes.http import listening
from serving.fakes.plain import Answer, json_answer, transport
from serving.fakes.runpod.app import runpod_double
from serving.targets.runpod.pod_shapes import NewSecret, PodChanges
from serving.targets.runpod.pods import PodClient
from serving.targets.runpod.transport import ForbiddenError, LostReplyError, TooLargeError, UnmetError
from serving.targets.runpod.volume_shapes import NewNetworkVolume


@pytest.fixture
def world() -> PodWorld:
    return PodWorld()


def test_a_pod_is_created_seen_and_ended_for_good(world) -> None:
    client = world.client()
    pod = client.create_pod(new_pod())
    assert (pod.name, pod.cost, pod.env["A"]) == ("modelyard-train-x", Decimal("0.44"), "1")
    assert client.pods() == [client.pod(pod.id)]
    world.cloud.advance(300)
    assert client.pod(pod.id).maps(8000)
    client.terminate_pod(pod.id)
    client.terminate_pod(pod.id)  # a second time is as good
    assert client.pods() == []
    with pytest.raises(NotFoundError):
        client.pod(pod.id)
    (bill,) = client.pod_bills(pod.id, datetime.now(UTC))
    assert bill.total_amount == pytest.approx(Decimal(world.cloud.spent()))


def test_all_pages_are_read_though_some_are_short_or_empty(world) -> None:
    client = world.client()
    names = {client.create_pod(new_pod(f"pod-{number}")).name for number in range(7)}
    world.control.resources.paging.most, world.control.resources.paging.strangers = 2, 5
    assert {pod.name for pod in client.pods()} == names
    assert [pod.name for pod in client.pods_named("pod-3")] == ["pod-3"]


def test_a_list_that_never_ends_is_an_error_and_no_loop() -> None:
    answer = json_answer({"pods": [], "pagination": {"nextCursor": "again", "hasNextPage": True}})
    client = PodClient(_key(), "http://double", sleep=lambda _: None, transport=transport(lambda _: answer))
    with pytest.raises(UnavailableError, match="repeats a page"):
        client.pods()


def test_a_list_without_pages_is_one_page() -> None:
    client = PodClient(_key(), "http://double", transport=transport(lambda _: json_answer({"pods": []})))
    assert client.pods() == []


def test_a_suffix_that_runpod_adds_to_a_name_is_known(world) -> None:
    world.control.resources.suffix = " -fb"
    client = world.client()
    client.create_pod(new_pod("modelyard-train-x"))
    client.create_pod(new_pod("modelyard-train-x-fb"))
    assert [pod.name for pod in client.pods_named("modelyard-train-x")] == ["modelyard-train-x -fb"]


def test_the_longest_of_three_windows_is_waited_for(world) -> None:
    now = world.clock.now()
    world.control.limits.until = {"minute": now + 2, "hour": now + 70, "day": now + 30}
    assert world.client().pods() == []
    assert world.control.limits.refused == 1  # it asked once, waited 70 s, and was let in
    assert world.clock.now() >= now + 69


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("402", RefusedError),
        ("403", ForbiddenError),
        ("no-capacity", UnmetError),
        ("lost", LostReplyError),
        ("dropped", LostReplyError),
    ],
)
def test_each_refusal_of_a_new_pod_has_its_own_error(world, fault: str, error: type) -> None:
    world.control.faults.add(fault, "^POST")
    with pytest.raises(error):
        world.client().create_pod(new_pod())
    assert len(world.cloud.pods) == (fault == "lost")


def test_a_body_that_is_too_large_is_refused_as_such(world) -> None:
    with pytest.raises(TooLargeError, match="413"):
        world.client().create_pod(new_pod(env={"A": "x" * 110_000}))


def test_a_wrong_key_is_one_line_that_does_not_show_it(world) -> None:
    with pytest.raises(DeniedError, match="RUNPOD_API_KEY") as error:
        world.client("rpa_secret").pods()
    assert "rpa_secret" not in str(error.value)
    assert not isinstance(error.value, ForbiddenError)


def test_a_refusal_that_is_no_json_and_an_answer_that_is_none_are_one_line() -> None:
    page = Answer(403, b"error code: 1010", {"content-type": "text/plain"})
    with pytest.raises(DeniedError, match="error code: 1010"):
        PodClient(_key(), "http://double", transport=transport(lambda _: page)).pods()
    html = Answer(200, b"<html>", {"content-type": "text/html"})
    with pytest.raises(UnavailableError, match="not JSON"):
        PodClient(_key(), "http://double", transport=transport(lambda _: html)).pods()
    with pytest.raises(LostReplyError):
        PodClient(_key(), "http://double", transport=transport(lambda _: html)).create_pod(new_pod())


@pytest.mark.parametrize("fault", ["429", "500", "503", "dropped"])
def test_reading_and_ending_are_tried_again(world, fault: str) -> None:
    client = world.client()
    pod = client.create_pod(new_pod())
    world.control.faults.add(fault, ".", times=2)
    client.terminate_pod(pod.id)
    assert world.cloud.pods == {}


def test_a_secret_is_kept_and_forgotten_and_its_value_never_shown(world) -> None:
    client = world.client()
    secret = client.create_secret(NewSecret(name="modelyard_x", value="hush", description="until 5"))
    assert "hush" not in repr(client.secrets())
    assert [row.name for row in client.secrets()] == ["modelyard_x"]
    pod = client.create_pod(new_pod(env={"TOKEN": "{{ RUNPOD_SECRET_modelyard_x }}"}))
    world.cloud.advance(300)
    assert world.cloud.pods[pod.id].container.env["TOKEN"] == "hush"
    assert client.pod(pod.id).env["TOKEN"] == "{{ RUNPOD_SECRET_modelyard_x }}"
    client.delete_secret(secret.id)
    client.delete_secret(secret.id)
    assert world.cloud.secrets == {}


def test_the_catalogue_has_price_and_stock(world) -> None:
    gpus = {gpu.id: gpu for gpu in world.client().pod_gpus()}
    assert gpus["NVIDIA A40"].price.secure == Decimal("0.44")
    assert gpus["NVIDIA L4"].availability == "NONE"


def _key():
    from pydantic import SecretStr

    return SecretStr("k")


def test_an_input_error_stays_an_input_error() -> None:
    assert issubclass(UnmetError, InputError)
    assert issubclass(ForbiddenError, DeniedError)


def test_a_pod_is_changed_stopped_and_started_and_its_logs_read(world) -> None:
    client = world.client()
    pod = client.create_pod(new_pod())
    world.cloud.advance(300)
    assert [line.split()[0] for line in client.pod_logs(pod.id, 5)] == ["create", "pulling", "start"]
    assert client.pod_logs(pod.id, 1) == ["start container"]
    assert client.change_pod(pod.id, PodChanges(name="another", env={"B": "2"})).env == {"B": "2"}
    with pytest.raises(BusyError, match="cannot start now"):
        client.act_on_pod(pod.id, "start")
    client.act_on_pod(pod.id, "stop")
    assert client.pod(pod.id).status == "EXITED"
    client.act_on_pod(pod.id, "start")
    client.act_on_pod(pod.id, "terminate")
    assert world.cloud.leaks() == []


@pytest.mark.parametrize("change", [{"gpu": {"id": "NVIDIA L4"}}, {"cloud": "COMMUNITY"}, {"disk": 0}, {"env": {"A": 1}}, []])
def test_what_a_pod_is_placed_on_does_not_change(world, change: object) -> None:
    pod = world.client().create_pod(new_pod())
    assert world.ask("PATCH", f"/v2/pods/{pod.id}", change).status == 422


def test_volumes_and_data_centres_are_read_made_grown_and_deleted(world) -> None:
    double = runpod_double(lambda _: dict, world.clock, key=_key().get_secret_value())
    with listening(double.app) as url:
        client = PodClient(_key(), url)
        centers = {center.id: center for center in client.data_centers()}
        assert centers["EU-RO-1"].network_volume_types == ["STANDARD", "HIGH_PERFORMANCE"]
        assert centers["EU-RO-1"].gpu_availability[0].availability == "HIGH"
        volume = client.create_volume(NewNetworkVolume(name="data", size=20, data_center="EU-RO-1"))
        assert client.grow_volume(volume.id, 30).size == 30
        with pytest.raises(UnmetError, match="cannot be made smaller"):
            client.grow_volume(volume.id, 10)
        assert [row.size for row in client.volumes()] == [30]
        client.delete_volume(volume.id)
        client.delete_volume(volume.id)
        assert client.volumes() == []
