"""The viewer's password."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import DASHBOARDS, fill, words

import dashboards.door


def test_no_page_is_shown_before_the_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards.door, "_DELAY_S", 0.0)
    fill(home)
    monkeypatch.setenv("MODELYARD_DASHBOARD_PASSWORD", "op3n")
    shown = AppTest.from_file(str(DASHBOARDS / "app.py"), default_timeout=60).run()
    assert "hand" not in words(shown)
    shown.text_input[0].set_value("wrong")
    shown.button[0].click().run()
    assert "Wrong password" in shown.error[0].value
    assert "hand" not in words(shown)
    shown.text_input[0].set_value("op3n")
    shown.button[0].click().run()
    assert not shown.error
    assert "Models in production" in words(shown)
