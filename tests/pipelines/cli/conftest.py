"""A home with every kind of state file, and commands in this process over copies of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from home_world import Run, make_home, runner


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., object]) -> Path:
    """The home; nobody changes it."""
    return make_home(tmp_path_factory.mktemp("whole"), make_bundle)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command over a home and gives its exit code."""
    return runner(monkeypatch, capfd)
