"""The double of RunPod is held to RunPod's published document: Schemathesis makes the requests, and reads the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds

pytestmark = pytest.mark.journey
SINCE = {"/v2/account/secrets", "/v2/account/secrets/{id}"}
"""What RunPod added in September: the copy of its document is August's."""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.skipif(not clouds.SPEC.exists(), reason=f"RunPod's OpenAPI document is not at {clouds.SPEC}")
def test_what_the_double_answers_is_what_runpod_s_document_says(tmp_path: Path, make_bundle) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world:
        bundle = make_bundle(tmp_path / "bundle")
        world.shelf.put(bundle)
        world.target().deploy("hand", bundle, lambda _: None)
        kept = {route.path for route in world.double.app.routes if route.path.startswith("/v2/")}
        document = json.loads(clouds.SPEC.read_text())
        known = {path: value for path, value in document["paths"].items() if path.replace("workerId", "worker") in kept}
        assert len(known) == len(kept - SINCE)
        document["paths"] = known
        for schema in document["components"]["schemas"]["QueueBasedRequestUrls"]["properties"].values():
            schema.pop("format", None)  # its own examples hold {job_id}, which no URI does
        (tmp_path / "spec.json").write_text(json.dumps(document))
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            str(tmp_path / "spec.json"),
            "--url",
            world.url,
            "--no-color",
        ]
        options = ["-H", "Authorization: Bearer rpa_double", "--phases", "examples,fuzzing", "--max-examples", "10"]
        done = subprocess.run(
            [*command, *options, "--checks", CHECKS, "--seed", "1"], capture_output=True, text=True, cwd=tmp_path, timeout=200
        )
        (tmp_path / "said.txt").write_text(done.stdout)
        assert done.returncode == 0, done.stdout
