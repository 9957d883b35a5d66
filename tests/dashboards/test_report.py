"""The Overview as a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from worlds import MARKUP, entries_of, fill

from dashboards.files import table_csv
from dashboards.overview import overview
from dashboards.report import as_csv, as_html, as_json, write_report
from registry.errors import ModelyardError


def test_a_report_escapes_every_name_and_loads_nothing(tmp_path: Path) -> None:
    fill(tmp_path, MARKUP)
    fill(tmp_path, "=HYPERLINK(1)")
    summary = overview(entries_of(tmp_path), datetime.now(UTC))
    page = as_html(summary)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert "Correct on 10 of 10 images" in page
    assert "'=HYPERLINK(1)" in as_csv(summary)
    assert json.loads(json.dumps(as_json(summary)))["production"][0]["version"] == f"{min(MARKUP, '=HYPERLINK(1)')}/2"


@pytest.mark.parametrize("name", ["a.html", "a.csv", "a.json"])
def test_a_report_is_written_whole_and_another_ending_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fill(tmp_path)
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    write_report(tmp_path / name)
    assert "hand/2" in (tmp_path / name).read_text()
    with pytest.raises(ModelyardError, match="is not a supported report format"):
        write_report(tmp_path / "a.pdf")


def test_no_cell_of_a_table_is_a_formula_for_a_spreadsheet() -> None:
    table = pd.DataFrame({"model": ["=1+1", "@x", "-y", "plain"], "total": [1.5, -2.0, 0.0, 3.0]})
    lines = table_csv(table).splitlines()
    assert lines == ["model,total", "'=1+1,1.5", "'@x,-2.0", "'-y,0.0", "plain,3.0"]
    assert table["model"][0] == "=1+1", "the table itself stays"
