"""Our TypeScript, compiled, asked by Python: one Node process for each question."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = Path(__file__).parents[3] / "serving" / "browser"
DIST = BROWSER / "dist"


def ask_node(folder: Path, script: str, data: Any) -> Any:
    """What a script prints as JSON; `data` is what it was given, and `DIST` our modules' folder."""
    from pipelines.bundles.tools import find_node

    if not (DIST / ".complete").exists():
        pytest.skip("the TypeScript is not compiled here: run `make setup`")
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "ask.mjs").write_text(
        "import { readFileSync } from 'node:fs';\n"
        f"const DIST = {json.dumps(DIST.as_uri())};\n"
        f"const data = JSON.parse(readFileSync({json.dumps(str(folder / 'data.json'))}, 'utf8'));\n"
        f"{script}\n"
    )
    done = subprocess.run([find_node(), str(folder / "ask.mjs")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
