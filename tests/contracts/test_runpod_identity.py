"""RunPod's lists have pages and its names suffixes: an endpoint is known by its own mark, and what was made is not lost."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import passes

from registry.errors import RefusedError, UnavailableError
from serving.fakes.runpod.paging import Paging
from serving.targets.runpod import transport
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.identity import own_name
from serving.targets.runpod.release import MARK


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


def others(world: clouds.RunPodWorld, count: int) -> None:
    """Endpoints of somebody else in the same account."""
    spec = {"name": "theirs", "image": "x", "type": "QUEUE", "gpu": {"pools": ["AMPERE_16"]}, "workers": {"min": 0, "max": 1}}
    spec |= {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 1}, "flashboot": "OFF", "timeout": 0}
    for number in range(count):
        world.double.cloud.create(json.loads(json.dumps(spec | {"name": f"theirs-{number}"})))
        world.clock.advance(1)


@pytest.mark.parametrize("paging", [Paging(), Paging(most=1), Paging(most=2, strangers=5), Paging(most=7, strangers=7)])
@pytest.mark.parametrize("suffix", ["", " -fb", " -v2"])
def test_an_endpoint_is_deployed_again_and_deleted_wherever_it_is_listed(
    world, make_bundle, tmp_path: Path, paging: Paging, suffix: str
) -> None:
    world.double.control.paging, world.double.cloud.suffix = paging, suffix
    target = world.target()
    first = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    others(world, 8)
    again = target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert (again.handle, again.name, target.list()) == (first.handle, "hand", [again])
    target.delete("hand")
    assert world.names() == [f"theirs-{number}" for number in range(8)]


@pytest.mark.parametrize("suffix", ["", " -fb", " -v2"])
def test_a_lost_answer_is_looked_up_by_the_mark(world, make_bundle, tmp_path: Path, suffix: str) -> None:
    world.double.cloud.suffix = suffix
    others(world, 4)
    world.double.faults.add("lost", "^POST /v2/serverless$")
    live = world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names().count("modelyard-hand") == 1
    assert world.double.cloud.endpoints[live.handle].spec["env"][MARK] == "hand"


@pytest.mark.parametrize("name", ["modelyard-hand", "modelyard-hand -fb"])
def test_an_endpoint_of_an_older_release_is_taken_over(world, make_bundle, tmp_path: Path, name: str) -> None:
    target, bundle = world.target(), make_bundle(tmp_path / "one")
    live = target.deploy("hand", bundle, passes)
    spec = world.double.cloud.endpoints[live.handle].spec
    world.double.cloud.suffix, spec["name"] = "", name
    del spec["env"][MARK]
    assert target.find("hand").handle == live.handle
    assert target.deploy("hand", bundle, passes).handle == live.handle
    assert spec["env"][MARK] == "hand"


def test_a_name_that_a_person_changed_changes_nothing(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.double.cloud.endpoints[live.handle].spec["name"] = "my favourite"
    again = target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    assert again.handle == live.handle
    target.delete("hand")
    assert world.names() == []


def test_a_copy_that_a_person_made_stays(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    spec = world.double.cloud.endpoints[live.handle].spec
    world.double.cloud.create(spec | {"name": "my copy", "workers": dict(spec["workers"])})
    target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes)
    target.delete("hand")
    assert world.names() == ["my copy"]


def test_somebody_else_s_endpoint_of_the_same_name_is_in_nobody_s_way_once_ours_is_there(
    world, make_bundle, tmp_path: Path
) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    spec = world.double.cloud.endpoints[live.handle].spec
    theirs = world.double.cloud.create(spec | {"env": {}, "workers": dict(spec["workers"])})
    assert target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes).handle == live.handle
    target.delete("hand")
    assert list(world.double.cloud.endpoints) == [theirs.id]
    with pytest.raises(RefusedError, match="was not made by Modelyard"):
        target.deploy("hand", make_bundle(tmp_path / "three"), passes)


def test_what_was_made_and_is_not_listed_fails_loudly_and_costs_nothing(world, make_bundle, tmp_path: Path) -> None:
    world.double.cloud.list_lag_s = 10_000
    with pytest.raises(UnavailableError, match="was made as ep000000001, and RunPod lists no endpoint of that name"):
        world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names() == []


def test_a_list_that_is_late_is_waited_for_and_a_trial_that_no_list_shows_is_deleted(
    world, make_bundle, tmp_path: Path
) -> None:
    target = world.target()
    world.double.cloud.list_lag_s = 12
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.clock.advance(60)
    world.double.cloud.list_lag_s = 50
    assert target.deploy("hand", make_bundle(tmp_path / "two", version=2, gain=30.0), passes).handle == live.handle
    assert world.names() == ["modelyard-hand"]


def test_an_endpoint_is_deleted_by_its_id_whatever_it_is_called_and_says(world, make_bundle, tmp_path: Path) -> None:
    target = world.target()
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    spec = world.double.cloud.endpoints[live.handle].spec
    spec["name"], spec["env"] = "nobody's", {}
    target.delete("hand")
    assert world.names() == ["nobody's"]
    target.delete_by("hand", live.handle)
    target.delete_by("hand", live.handle)
    assert world.names() == []


def test_a_row_that_moves_to_the_next_page_while_it_is_read_is_one_row(world, make_bundle, tmp_path: Path) -> None:
    """The newest is first: what is created between two pages pushes the last row of one onto the other."""
    target = world.target()
    others(world, 1)
    live = target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    others(world, 2)
    cut, read = world.double.control.paging.page, list[str]()

    def page(operation, rows, query, *rest, **named):
        read.append(operation)
        if len(read) == 2:
            others(world, 1)
            rows = world.double.cloud.listed()
        return cut(operation, rows, query, *rest, **named)

    world.double.control.paging = type("Paging", (), {"page": staticmethod(page)})()
    cut = Paging(most=3).page
    every = target.client.endpoints()
    assert len(read) == 2
    assert [own_name(endpoint) for endpoint in every].count("hand") == 1
    read.clear()
    assert target.deploy("hand", make_bundle(tmp_path / "again"), passes).handle == live.handle
    assert live.handle in world.double.cloud.endpoints


def test_a_cursor_is_valid_only_for_its_own_list_and_parameters(world) -> None:
    others(world, 4)
    headers = {"Authorization": "Bearer rpa_double"}

    def ask(path: str, **query: str) -> httpx.Response:
        return httpx.get(f"{world.url}/v2{path}", params=query, headers=headers)

    first = ask("/serverless", limit="2").json()
    assert len(first["endpoints"]) == 1  # the stranger was cut off the page
    cursor = first["pagination"]["nextCursor"]
    assert [row["name"] for row in ask("/serverless", limit="2", cursor=cursor).json()["endpoints"]] == ["theirs-2", "theirs-1"]
    for path, query in (("/serverless", {}), ("/serverless", {"limit": "3"}), ("/templates", {"limit": "2"})):
        assert ask(path, cursor=cursor, **query).status_code == 422
    number = first["endpoints"][0]["id"]
    assert ask(f"/serverless/{number}/releases", limit="2", cursor=cursor).status_code == 422
    assert ask(f"/serverless/{number}/builds").json() == {
        "builds": [], "pagination": {"nextCursor": None, "hasNextPage": False},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ({"nextCursor": "again", "hasNextPage": True}, "repeats a page"),
        ({"nextCursor": None, "hasNextPage": True}, "repeats a page"),
        (["no object"], "answered without 'endpoints'"),
    ],
)
def test_pages_that_make_no_sense_are_one_line_and_no_loop(page: object, message: str) -> None:
    answer = httpx.Response(200, json={"endpoints": [], "pagination": page})
    client = RunPodClient(SecretStr("k"), sleep=lambda _: None, transport=httpx.MockTransport(lambda _: answer))
    with pytest.raises(UnavailableError, match=message):
        client.endpoints()


def test_pages_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MOST_PAGES", 5)
    asked = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor", ""))
        return httpx.Response(200, json={"endpoints": [], "pagination": {"nextCursor": f"c{len(asked)}", "hasNextPage": True}})

    with pytest.raises(UnavailableError, match="more than 5 pages"):
        RunPodClient(SecretStr("k"), transport=httpx.MockTransport(answer)).endpoints()
    assert asked == ["", "c1", "c2", "c3", "c4"]


def test_a_cursor_that_is_refused_is_no_fault_of_the_job() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "cursor" in request.url.params:
            return httpx.Response(422, json={"title": "x", "status": 422, "detail": "Request validation failed."})
        return httpx.Response(200, json={"endpoints": [], "pagination": {"nextCursor": "c", "hasNextPage": True}})

    with pytest.raises(UnavailableError, match="try again later"):
        RunPodClient(SecretStr("k"), transport=httpx.MockTransport(answer)).endpoints()
