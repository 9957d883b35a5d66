"""The double of RunPod is held to RunPod's published document: Schemathesis makes the requests, and reads the answers.

What changed until September is in the project, and is held to everywhere; August's document is not ours to publish.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds

from serving.fakes.runpod.september import merged, patch

pytestmark = pytest.mark.journey
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
METHODS = {"get", "post", "patch", "delete"}


def held_to(document: dict[str, Any], world: clouds.RunPodWorld, folder: Path) -> None:
    """Let Schemathesis ask the double whatever a document describes."""
    (folder / "spec.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(folder / "spec.json"), "--url", world.url, "--no-color"]
    options = ["-H", "Authorization: Bearer rpa_double", "--phases", "examples,fuzzing", "--max-examples", "10"]
    done = subprocess.run(
        [*command, *options, "--checks", CHECKS, "--seed", "1"], capture_output=True, text=True, cwd=folder, timeout=200
    )
    (folder / "said.txt").write_text(done.stdout)
    assert done.returncode == 0, done.stdout


def with_endpoint(world: clouds.RunPodWorld, bundle) -> None:
    """An account that is not empty, and whose streams end."""
    world.shelf.put(bundle)
    world.target().deploy("hand", bundle, lambda _: None)
    world.double.control.open_s = 0.0


def test_what_is_new_since_september_is_answered_as_published(tmp_path: Path, make_bundle) -> None:
    """The paths that are whole in the differences: pages of lists, secrets, builds."""
    document = merged({})
    with clouds.runpod_world(tmp_path / "cloud") as world:
        with_endpoint(world, make_bundle(tmp_path / "bundle"))
        for path, item in list(document["paths"].items()):
            whole = {name: value for name, value in item.items() if name not in METHODS or "operationId" in value}
            document["paths"][path] = whole
            if not METHODS & whole.keys():
                del document["paths"][path]
        assert len(document["paths"]) == 8
        held_to(document, world, tmp_path)


@pytest.mark.skipif(not clouds.SPEC.exists(), reason=f"RunPod's OpenAPI document is not at {clouds.SPEC}")
def test_what_the_double_answers_is_what_runpod_s_document_says(tmp_path: Path, make_bundle) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world:
        with_endpoint(world, make_bundle(tmp_path / "bundle"))
        kept = {route.path for route in world.double.app.routes if route.path.startswith("/v2/")}
        document = merged(json.loads(clouds.SPEC.read_text()))
        known = {path: value for path, value in document["paths"].items() if path.replace("workerId", "worker") in kept}
        assert len(known) == len(kept)
        document["paths"] = known
        for schema in document["components"]["schemas"]["QueueBasedRequestUrls"]["properties"].values():
            schema.pop("format", None)  # its own examples hold {job_id}, which no URI does
        for path in ("/v2/pods/{id}/logs", "/v2/serverless/{id}/workers/{workerId}/logs"):  # a stream is not one text
            known[path]["get"]["responses"]["200"]["content"]["text/event-stream"].pop("schema")
        held_to(document, world, tmp_path)


def test_the_differences_change_what_they_say_and_nothing_else() -> None:
    august = {
        "info": {"version": "2.0.0"},
        "paths": {
            "/v2/pods": {"post": {"operationId": "createPod", "responses": {"201": {}}}},
            "/v2/serverless/{id}/releases": {"parameters": [{"name": "id"}]},
        },
        "components": {"schemas": {"Endpoint": {"allOf": [1]}, "ListPodsResponse": {"required": ["pods"]}}},
    }
    document = merged(august)
    assert document["paths"]["/v2/pods"]["post"] == {
        "operationId": "createPod",
        "responses": {"201": {}} | patch()["paths"]["/v2/pods"]["post"]["responses"],
    }
    assert "parameters" not in document["paths"]["/v2/serverless/{id}/releases"]  # each operation names its own
    assert document["components"]["schemas"]["Endpoint"] == {"allOf": [1]}
    assert document["components"]["schemas"]["ListPodsResponse"]["required"] == ["pods", "pagination"]
    assert august["components"]["schemas"]["ListPodsResponse"] == {"required": ["pods"]}
