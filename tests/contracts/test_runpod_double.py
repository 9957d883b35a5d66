"""RunPod's double knows and refuses what RunPod does, and bills each second that a worker has begun."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import passes

from serving.fakes.runpod.schemas import FIELDS
from serving.targets.runpod.shapes import EndpointChanges


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


def test_what_is_sent_is_what_is_published(world, make_bundle, tmp_path: Path) -> None:
    if not clouds.SPEC.exists():
        pytest.skip("../shared/specs is not here: it belongs to the project's own machines")
    target = world.target(registry="mine", template="base", data_centers=("EU-RO-1",), bundle_secret="hub")
    world.double.cloud.registries["reg1"] = {"name": "mine"}
    world.double.cloud.templates["tpl1"] = {"name": "base", "image": "x", "env": {"A": "1"}, "serverless": True}
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    (endpoint,) = world.double.cloud.endpoints.values()
    check = world.double.control.checker.by_document
    assert check("Endpoint", world.double.control.shown(endpoint)) == []
    assert endpoint.spec["registry"] == "reg1"
    assert endpoint.spec["env"]["A"] == "1"
    assert endpoint.spec["env"]["MODELYARD_BUNDLE_TOKEN"] == "{{ RUNPOD_SECRET_hub }}"
    assert (endpoint.spec["flashboot"], endpoint.spec["timeout"]) == ("FLASHBOOT", 60_000)
    assert check("UpdateEndpointRequest", EndpointChanges(image="x", imag="y").as_dict() | {"imag": "y"}) != []


def test_the_double_knows_the_fields_that_are_published(world) -> None:
    if not clouds.SPEC.exists():
        pytest.skip("../shared/specs is not here: it belongs to the project's own machines")
    schemas = json.loads(clouds.SPEC.read_text())["components"]["schemas"]

    def properties(schema: dict) -> set[str]:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return set(schema.get("properties", {})).union(*map(properties, schema.get("allOf", [])))

    for name, fields in FIELDS.items():
        since = {"entrypoint", "cmd"} if "image" in fields else set()  # September's
        assert fields - since == properties(schemas[name]), name


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
