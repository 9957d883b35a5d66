"""Gates as a matrix: what each gate made of each version, and what would help."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import MARKUP, entries_of, fill, page

from dashboards.decisions import GATE, coloured, gate_labels, gate_matrix
from registry.events import Promoted, Refused, about, now
from registry.memory import MemoryEntry
from registry.opening import ledger_of
from registry.records import Finding, ModelVersion
from registry.settings import Settings
from registry.stages import Stage

FINDINGS = st.lists(
    st.builds(
        Finding,
        gate=st.sampled_from(["metric", "data", "when", "version"]),
        passed=st.booleans(),
        text=st.text(),
        figure=st.none() | st.floats(),
        limit=st.none() | st.floats(),
    ),
    max_size=6,
)


def test_each_version_has_a_row_of_its_newest_attempt_and_each_gate_a_column(tmp_path: Path) -> None:
    fill(tmp_path)
    matrix = gate_matrix(entries_of(tmp_path))
    assert list(matrix["version"] + " " + matrix["stage"]) == ["hand/2 production", "hand/2 staging", "hand/1 staging"]
    assert list(matrix[f"{GATE}metric"]) == ["✓ 0.8 (threshold 0.9)", "✓ 0.8 (threshold 0.9)", "✗ 0.8 (threshold 0.9)"]
    assert list(matrix["command"]) == ["", "", "modelyard train"]
    assert gate_labels(matrix)[f"{GATE}metric"] == "Metric"
    html = coloured(matrix).to_html()
    assert (html.count("#009e7340"), html.count("#d55e0059")) == (1, 1), "a rule for each outcome"
    ledger_of(Settings(home=tmp_path)).append(
        Promoted(**about(ModelVersion("hand", 1, 1), "d"), stage=Stage.STAGING, previous=None, actor="ada", findings=[])
    )
    again = gate_matrix(entries_of(tmp_path))
    assert (again["version"][0], again["outcome"][0]) == ("hand/1", "promoted")
    assert len(again) == 3, "an attempt takes the row of the one before it"


@given(attempts=st.lists(FINDINGS, max_size=4))
def test_a_cell_says_failed_where_any_finding_of_its_gate_failed(attempts: list[list[Finding]]) -> None:
    events = [
        Refused(**about(ModelVersion("hand", number, number), "d"), stage=Stage.STAGING, actor="ada", findings=findings)
        for number, findings in enumerate(attempts, 1)
    ]
    matrix = gate_matrix([MemoryEntry(number, now(), event) for number, event in enumerate(events, 1)])
    assert len(matrix) == len(attempts)
    for row, findings in zip(matrix.to_dict("records"), reversed(attempts), strict=True):
        for gate in {finding.gate for finding in findings}:
            mine = [finding.passed for finding in findings if finding.gate == gate]
            assert row[f"{GATE}{gate}"].startswith("✓" if all(mine) else "✗")
        absent = [name for name in row if name.startswith(GATE) and name.removeprefix(GATE) not in {f.gate for f in findings}]
        assert [row[name] for name in absent] == [""] * len(absent)
    if len(matrix):
        coloured(matrix).to_html()


@pytest.mark.parametrize("name", [MARKUP, "=1+1", "x" * 5000])
def test_the_registry_shows_the_matrix_whatever_a_model_is_called(name: str, home: Path) -> None:
    fill(home, name[:200])
    shown = page("registry")
    assert not shown.exception, shown.exception
    assert any(f"{GATE}metric" in frame.value.columns for frame in shown.dataframe)
