"""Hugging Face: settings change and are put back, what is not ours is left alone, nothing is waited for for ever."""

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


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.HuggingFaceWorld]:
    with clouds.huggingface_world(tmp_path / "cloud") as made:
        yield made


def test_other_settings_of_the_same_bundle_are_brought_there(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target(min_replicas=1).deploy("hand", bundle, passes)
    world.target(min_replicas=0, max_replicas=3).deploy("hand", bundle, passes)
    scaling = world.double.account.endpoints["my-hand"].spec["compute"]["scaling"]
    assert (scaling["minReplica"], scaling["maxReplica"], scaling["scaleToZeroTimeout"]) == (0, 3, 15)
    world.target(min_replicas=1).deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["compute"]["scaling"]["scaleToZeroTimeout"] is None


def test_what_fails_is_put_back_with_its_own_settings(world, make_bundle, tmp_path: Path) -> None:
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    before = json.dumps(world.double.account.endpoints["my-hand"].spec, sort_keys=True)
    settings, asked = {"repository": "me/other", "instance": "nvidia-t4", "accelerator": "gpu", "max_replicas": 5}, []

    def fails_at_last(ask) -> None:
        asked.append(ask)
        if len(asked) == 2:
            fails(ask)

    with pytest.raises(IntegrityError):
        world.target(**settings).deploy("hand", make_bundle(tmp_path / "two", gain=30.0), fails_at_last)
    assert json.dumps(world.double.account.endpoints["my-hand"].spec, sort_keys=True) == before


def test_our_own_image_comes_and_goes_and_is_asked_at_its_own_address(world, make_bundle, picture, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    live = world.target(image="docker.io/me/serve:1").deploy("hand", bundle, passes)
    model = world.double.account.endpoints["my-hand"].spec["model"]
    assert model["image"] == {"custom": {"url": "docker.io/me/serve:1", "port": 8000, "healthRoute": "/health"}}
    assert world.target().ask(live)(picture("red"))["red"] > 0.9  # one that only looks does not know of the image
    world.target().deploy("hand", bundle, passes)
    assert world.double.account.endpoints["my-hand"].spec["model"]["image"] == {"huggingface": {}}


def test_what_somebody_else_made_is_left_alone(world, make_bundle, tmp_path: Path) -> None:
    theirs = {"name": "my-hand", "type": "public", "provider": {"vendor": "aws", "region": "us-east-1"}}
    world.hub().publish("me/theirs", {"a.txt": b"1"}, "first")
    theirs |= {"model": {"repository": "me/theirs", "framework": "custom", "image": {"huggingface": {}}}}
    theirs |= {
        "compute": {
            "accelerator": "cpu",
            "instanceSize": "x1",
            "instanceType": "intel-spr",
            "scaling": {"minReplica": 0, "maxReplica": 1},
        }
    }
    world.double.account.deploy(theirs, None)
    for act in (
        lambda: world.target().deploy("hand", make_bundle(tmp_path / "one"), passes),
        lambda: world.target().delete("hand"),
    ):
        with pytest.raises(RefusedError, match="was not made by Modelyard"):
            act()
    assert world.double.account.endpoints["my-hand"].spec == theirs
    with pytest.raises(InputError, match="ends in '-next'"):
        world.target().deploy("hand-next", make_bundle(tmp_path / "two"), passes)


def test_it_does_not_move_to_another_region_and_is_not_woken_from_a_pause(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target().deploy("hand", bundle, passes)
    with pytest.raises(InputError, match="is at us-east-1 and cannot move to eu-west-1"):
        world.target(region="eu-west-1").deploy("hand", make_bundle(tmp_path / "two", gain=30.0), passes)
    assert list(world.double.account.endpoints) == ["my-hand"]


def test_prices_are_the_vendor_s_and_an_unknown_one_is_refused(world) -> None:
    assert world.target(vendor="gcp", instance="nvidia-h100", accelerator="gpu").quote().usd_per_busy_hour == 10
    with pytest.raises(InputError, match="of size x1 at gcp: has no known price"):
        world.target(vendor="gcp", instance="nvidia-l40s", accelerator="gpu").quote()


def test_boxes_of_one_label_count_with_the_best_one() -> None:
    from serving.targets.huggingface.requests import probabilities_of

    assert probabilities_of([{"label": "a", "score": 0.9}, {"label": "a", "score": 0.2}], "x") == {"a": 0.9}
    assert probabilities_of([], "x") == {}


def test_who_is_told_to_wait_for_a_day_says_so_and_does_not(world, monkeypatch) -> None:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    def refuse() -> None:
        answer = httpx2.Response(429, headers={"Retry-After": "86400"}, request=httpx2.Request("GET", "http://x"))
        raise HfHubHTTPError("slow down", response=answer)

    with pytest.raises(UnavailableError, match="asks to wait 86400 s"):
        world.hub().call(refuse)


def test_the_library_does_not_wait_for_ever(world) -> None:
    from huggingface_hub import get_session

    assert world.hub().api
    assert get_session().timeout.read == 120
