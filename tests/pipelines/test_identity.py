"""Who acts: a name is proven by a server or self-declared."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipelines.identity import whoami
from registry.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_without_a_server_that_knows_better_a_name_is_self_declared(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whoami(settings, "eve") == ("eve", False)
    assert whoami(settings).proven is False
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "eve")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    away = Settings(home=settings.home, mlflow_uri="http://127.0.0.1:9")
    began = time.monotonic()
    assert whoami(away) == whoami(settings.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"}))
    assert whoami(away).proven is False
    assert time.monotonic() - began < 10
