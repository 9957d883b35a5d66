"""The table of the home folder names everything that the code puts there; the address is looked for as the page says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from home_paths import ROOT, paths_in_homes

from registry.address import mlflow_address
from registry.errors import UnavailableError
from registry.files import write_json
from registry.settings import Settings

PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_the_table_of_the_home_folder_names_what_the_code_puts_there() -> None:
    table = PAGE[PAGE.index("## The home folder") :].split("\n## ")[0]
    listed = {
        name.split("/")[0]
        for line in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", line)
    }
    used = paths_in_homes()
    assert len(used) > 15
    assert {name: path for name, path in used.items() if name not in listed} == {}
    assert listed - set(used) == {"ledger.db.lock"}, "made beside the ledger, wherever that lies"


def test_the_address_of_mlflow_is_looked_for_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = re.sub(r"\s+", " ", PAGE)
    order = re.findall(r"`(MODELYARD_MLFLOW_URI|up\.json|MLFLOW_TRACKING_URI)`", sentence.partition("in this order: ")[2])[:3]
    set_up = {
        "MODELYARD_MLFLOW_URI": lambda: monkeypatch.setenv("MODELYARD_MLFLOW_URI", "http://MODELYARD_MLFLOW_URI"),
        "up.json": lambda: write_json(tmp_path / "up.json", {"mlflow": "http://up.json"}),
        "MLFLOW_TRACKING_URI": lambda: monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://MLFLOW_TRACKING_URI"),
    }
    with pytest.raises(UnavailableError):
        mlflow_address(Settings(home=tmp_path))
    for name in reversed(order):  # each wins over those after it
        set_up[name]()
        assert mlflow_address(Settings(home=tmp_path)) == f"http://{name}"
    assert set(order) == set(set_up)
