"""The dashboard opens pictures from anywhere: it neither opens nor makes the key that signs, and its environment holds no other."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from worlds import fill

from dashboards.queries import load_entries
from pipelines.services.environments import dashboard_environment, inherited
from registry.errors import InputError
from registry.events import Blocked
from registry.opening import keys_of, ledger_of, reading_ledger_of
from registry.settings import Settings
from registry.stages import Stage

SECRET = "value-of-a-secret"


def _refuses(path: Path) -> NoReturn:
    raise AssertionError(f"{path} was opened")


def test_rows_are_read_and_checked_without_the_private_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home)
    settings = Settings(home=home)
    rows = len(load_entries(settings))
    assert rows
    monkeypatch.setattr("registry.signing._read_private", _refuses)
    monkeypatch.setattr("registry.signing._make", _refuses)
    assert len(load_entries(settings)) == rows
    settings.key.unlink()
    assert len(load_entries(settings)) == rows
    assert not settings.key.exists()
    event = Blocked(model="hand", version=1, created_ms=1, digest="x", stage=Stage.STAGING, reason="x")
    with pytest.raises(InputError, match="the ledger's rows are signed"):
        reading_ledger_of(settings).append(event)
    assert not settings.key.exists()


def test_a_home_whose_public_half_was_never_kept_is_readable_once_a_command_kept_it(home: Path) -> None:
    fill(home)
    settings = Settings(home=home)
    for path in settings.trusted.glob("*.pub"):
        path.unlink()
    keys_of(settings).keep_public()
    assert [row.flaw for row in reading_ledger_of(settings).entries()] == [None] * len(ledger_of(settings).entries())


def test_an_empty_home_is_read_without_making_a_key(home: Path) -> None:
    settings = Settings(home=home)
    assert list(load_entries(settings)) == []
    assert not settings.key.exists()
    event = Blocked(model="hand", version=1, created_ms=1, digest="x", stage=Stage.STAGING, reason="x")
    with pytest.raises(InputError, match="only reads"):
        reading_ledger_of(settings).append(event)
    assert not settings.key.exists()


def test_the_dashboard_is_told_what_it_needs_and_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("RUNPOD_API_KEY", "MODELYARD_RUNPOD_API_KEY", "HF_TOKEN", "MODELYARD_HF_TOKEN", "MODELYARD_BUNDLE_TOKEN")
    secrets += ("MODELYARD_NOTIFY_SMTP", "MODELYARD_WEBHOOK_SECRET", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SOME_PASSWORD")
    needed = ("MODELYARD_LEDGER_URL", "MODELYARD_API_KEY", "MODELYARD_DASHBOARD_PASSWORD", "MLFLOW_TRACKING_PASSWORD")
    for name in (*secrets, *needed):
        monkeypatch.setenv(name, SECRET)
    for environment in (dashboard_environment(), inherited("dashboard")):
        assert {name for name, value in environment.items() if SECRET in value} == set(needed)
        assert "PATH" in environment
