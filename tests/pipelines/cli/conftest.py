"""A home with every kind of state file, and commands in this process over copies of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import typer.main

sys.path.insert(0, str(Path(__file__).parent))
from home_world import Run, make_home, runner

made_once = cache(typer.main.get_command)
"""Every command of the line, made once: that takes longer than most of them."""


@pytest.fixture(autouse=True)
def _one_command_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the line is parsed with is made by the first test of this room that needs it."""
    monkeypatch.setattr(typer.main, "get_command", made_once)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[..., object]) -> Path:
    """The home; nobody changes it."""
    return make_home(tmp_path_factory.mktemp("whole"), make_bundle)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command over a home and gives its exit code."""
    return runner(monkeypatch, capfd)
