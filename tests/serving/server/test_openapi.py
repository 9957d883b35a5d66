"""The published document is the one that the server keeps to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from endpoints import ROOT, served

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.journey
def test_what_the_server_says_is_what_the_document_says(make_bundle, tmp_path: Path) -> None:
    """Schemathesis makes requests out of the document, real pictures among them, and compares the answers with it."""
    with served(make_bundle(tmp_path / "bundle").folder) as server:
        published = json.loads((ROOT / "docs" / "openapi.json").read_text())
        assert httpx.get(f"{server.url}/openapi.json").json() == published
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"]
        options = ["--phases", "examples,fuzzing", "--max-examples", "15", "--checks", CHECKS, "--seed", "1"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stdout
        assert f"Tested: {len(published['paths']) - 1}" in done.stdout  # it leaves the document's own address out
        assert server.process.poll() is None
