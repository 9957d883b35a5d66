"""The README's own commands, in its own order, from clips to a prediction."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.journey, pytest.mark.long]
ROOT = Path(__file__).parents[2]


def test_the_readme_works_as_it_is_written(enough_clips: Path, tmp_path: Path) -> None:
    shutil.copytree(enough_clips, tmp_path / "clips")
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 8
    script = f'export PATH="{Path(sys.executable).parent}:$PATH"\nset -x\n' + "\n".join(blocks)
    done = subprocess.run(["bash", "-em", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    output = done.stdout
    assert "hand/1 trained by torch" in output
    assert "hand/1 scored top-1" in output
    assert "hand/1 promoted to production" in output
    assert "tfjs-float16 wrong-image agreement" in output
    assert "training so far $" in output
    labels = re.findall(r"test/([0-2])/scan\S+\s*│ ([0-2]) ", output)
    assert len(labels) >= 50
    assert sum(truth == label for truth, label in labels) / len(labels) >= 0.9
    left = [process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(process.info["cmdline"] or [])]
    assert left == []
