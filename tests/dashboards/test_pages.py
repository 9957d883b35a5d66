"""What holds for every page: empty, huge, odd and broken homes, and that none of them changes anything."""

from __future__ import annotations

import inspect
import re
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import DASHBOARDS, MARKUP, a_run, budget, fill, fill_runs, make_data, page

from registry.memory import MemoryEntry
from registry.opening import ledger_of
from registry.settings import Settings

NAMES = sorted(path.stem for path in (DASHBOARDS / "views").glob("[a-z]*.py"))
FORBIDDEN = {"unsafe_allow_html", ".append(", "set_alias", "delete_alias", "promote(", "st.html", "components", "unlink("}


@pytest.mark.parametrize("name", NAMES)
def test_every_page_opens_where_nothing_happened_yet(home: Path, name: str) -> None:
    shown = page(name)
    assert not shown.exception
    assert shown.info or name == "forecast"
    assert shown.title


@pytest.mark.parametrize("name", NAMES)
def test_no_page_is_long_and_none_changes_anything(name: str) -> None:
    text = (DASHBOARDS / "views" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 80
    for word in FORBIDDEN:
        assert word not in text


def test_nothing_behind_the_pages_writes_or_promotes() -> None:
    for path in DASHBOARDS.rglob("*.py"):
        text = path.read_text()
        for word in FORBIDDEN - {".append("} | {"ledger_of(settings()).append", "ledger.append", "set_policy", "write_json"}:
            assert word not in text, (path.name, word)


@pytest.mark.parametrize("name", NAMES)
def test_every_page_bears_names_with_markup_and_of_ten_thousand_characters(home: Path, name: str) -> None:
    for model in (MARKUP, "n" * 10_000):
        fill(home, model)
        budget(home, "0.0001", model)
    odd = {"metrics": {MARKUP: 1.0}, "odd": ["nan"], "params": {MARKUP: "x" * 500}, "tags": {"mlflow.user": MARKUP}}
    fill_runs(home, [a_run(1, name=MARKUP, experiment=MARKUP, **odd), a_run(2, name="n" * 10_000)])
    make_data(home, ("a b", "![x](y)"))
    shown = page(name)
    assert not shown.exception, shown.exception
    for kind in ("markdown", "subheader", "warning", "error", "info", "caption", "metric"):
        for element in shown.get(kind):
            text = re.sub(r"`[^`]*`", "", str(getattr(element, "value", "")) + str(getattr(element, "label", "")))
            assert "![x](http" not in text
            assert "<script>" not in text.replace("\\<script\\>", "")


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_that_cannot_be_used_is_one_line_on_every_page(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", "a lot")
    shown = AppTest.from_file(str(DASHBOARDS / "app.py"), default_timeout=60)
    shown.switch_page(f"views/{name}.py").run()
    assert not shown.exception
    assert "MODELYARD_LOCAL_USD_PER_HOUR" in shown.error[0].value.replace("\\", "")


@pytest.mark.parametrize("name", ["overview", "registry", "costs", "live"])
def test_a_page_of_ten_thousand_ledger_rows_is_made_in_seconds(home: Path, name: str) -> None:
    fill(home)
    ledger = ledger_of(Settings(home=home))
    entry = next(row for row in ledger.entries() if row.event.kind == "trained")
    many = [
        MemoryEntry(100 + number, entry.at, entry.event.model_copy(update={"run_id": str(number)})) for number in range(10_000)
    ]
    import dashboards.queries

    class Many(dashboards.queries.LedgerReader):
        def refresh(self) -> int:
            super().refresh()
            self._rows = [*self._rows[:20], *many]
            return len(self._rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboards.pages.LedgerReader", Many)
        began = time.process_time()
        shown = page(name)
        assert not shown.exception
        assert time.process_time() - began < 10


def test_a_broken_ledger_is_one_line(home: Path) -> None:
    (home / "ledger.db").write_text("no database at all" * 100)
    for name in ("overview", "registry", "costs", "live"):
        shown = page(name)
        assert not shown.exception, shown.exception
        assert "the ledger cannot be used" in shown.error[0].value.replace("\\", "")


def test_there_is_a_page_for_each_thing_that_was_promised() -> None:
    assert {"overview", "runs", "registry", "costs", "forecast", "data", "review", "live"} == set(NAMES)
    for name in NAMES:
        assert f"views/{name}.py" in inspect.cleandoc((DASHBOARDS / "app.py").read_text())
