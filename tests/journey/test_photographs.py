"""The demo on real photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.journey, pytest.mark.long]


def test_real_photographs_split_by_signer(shared: Path, tmp_path: Path, modelyard) -> None:
    """The sign-digits photographs: the same way, on real images, with no signer in two splits."""
    import zipfile

    zipfile.ZipFile(shared / "sign-digits.zip").extractall(tmp_path / "photos")
    folder = next(path for path in (tmp_path / "photos").rglob("*") if path.is_dir() and (path / "0").is_dir())
    options = ["--images", folder, "--group", r"^(s\d+)_", "--trainers", "torch", "--epochs", 6]
    done = modelyard("demo", *options, "--home", tmp_path / "home", "--exit", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert 0.7 < summary["tries"][0]["top1"] <= 1.0
    manifest = json.loads(next((tmp_path / "home" / "datasets").glob("*/manifest.json")).read_text())
    splits: dict[str, str] = {}
    for row in manifest["frames"]:
        assert splits.setdefault(row["clip"], row["split"]) == row["split"]
    assert len(manifest["labels"]) == 10
