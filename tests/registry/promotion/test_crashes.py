"""Killed with SIGKILL at every step: the next start finishes what was begun or undoes it, never both."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.events import Flipped, Promoted, Undone
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.records import Actor
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from crashing import ACTIONS, FileStore, make_context

ADA = Actor("ada")
pytestmark = pytest.mark.journey
MOST = 40


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hand/1 was in production, hand/2 is in staging."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "files").mkdir()
    (folder / "files" / "weights").write_text("1")
    context = make_context(folder)
    assert isinstance(context.store, FileStore)
    for number in (1, 2):
        context.store.register("hand", folder / "files")
        promote(context, Ref("hand", number), Stage.STAGING, ADA)
        if number == 1:
            promote(context, Ref("hand", 1), Stage.PRODUCTION, ADA)
    context.store.save()
    return folder


@pytest.fixture(scope="module")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hand/2 is in production, hand/1 was before."""
    folder = tmp_path_factory.mktemp("after") / "home"
    shutil.copytree(before, folder)
    context = make_context(folder)
    promote(context, Ref("hand", 2), Stage.PRODUCTION, ADA)
    context.store.save()
    return folder


def kill_everywhere(start: Path, tmp_path: Path, action: str, check: Callable[[PromotionContext, Path, bool], None]) -> int:
    """Kill the action at its first, second, … step, start again each time, and check; how many steps there were."""
    for step in range(1, MOST):
        folder = tmp_path / f"{step:02d}"
        shutil.copytree(start, folder)
        command = [sys.executable, str(Path(__file__).parent / "crashing.py"), str(folder), action, str(step)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        context = make_context(folder)
        reconcile(context, "hand")
        check(context, folder, done.returncode == 0)
        assert reconcile(context, "hand").acted == []  # settled
        assert context.ledger.verify() > 0
        if done.returncode == 0:
            return step
    pytest.fail("it never came to its end")


def never_both(context: PromotionContext) -> None:
    """Each ratification led to a flip or was undone, and not both."""
    waiting: Promoted | None = None
    for entry in context.ledger.entries("hand"):
        match entry.event:
            case Promoted() as event:
                assert waiting is None
                waiting = event
            case Flipped() | Undone() as event:
                assert waiting is not None
                assert (waiting.identity, waiting.stage) == (event.identity, event.stage)
                waiting = None
            case _:
                pass
    assert waiting is None


def holder(context: PromotionContext) -> int | None:
    """Who serves production: alias, decision and hook agree."""
    holder = fold(context.ledger.entries("hand")).holders.get(Stage.PRODUCTION)
    assert context.store.aliases("hand").get("production") == (holder.identity[0] if holder else None)
    return holder.identity[0] if holder else None


@pytest.mark.parametrize(("action", "old", "new"), [("promote", 1, 2), ("rollback", 2, 1), ("archive", 2, None)])
def test_killed_at_every_step(before: Path, after: Path, tmp_path: Path, action: str, old: int, new: int | None) -> None:
    outcomes: list[int | None] = []

    def check(context: PromotionContext, folder: Path, finished: bool) -> None:
        never_both(context)
        live = holder(context)
        outcomes.append(live)
        assert live == new if finished else live in {old, new}
        assert "staging" not in context.store.aliases("hand") or live == old
        if live == new is not None:
            assert (folder / "served").read_text() == f"{live} production"
        tags = {version.version: version.tags.get("modelyard.stage") for version in context.store.versions("hand")}
        if live == new:
            assert [number for number, stage in tags.items() if stage == "production"] == ([new] if new else [])

    steps = kill_everywhere(before if action == "promote" else after, tmp_path, action, check)
    assert steps > 8
    assert outcomes[0] == old
    assert outcomes[-1] == new
    assert outcomes == sorted(outcomes, key=lambda number: number == new)  # once begun, it is always finished


def test_the_actions_are_all_killed() -> None:
    assert set(ACTIONS) == {"promote", "rollback", "archive"}


def test_a_promotion_that_was_overtaken_is_undone_not_finished(before: Path, tmp_path: Path) -> None:
    """Killed after it was ratified; then somebody gives the alias to a third version."""
    folder = tmp_path / "home"
    shutil.copytree(before, folder)
    context = make_context(folder)
    store = context.store
    assert isinstance(store, FileStore)
    store.register("hand", folder / "files")
    store.save()
    command = [sys.executable, str(Path(__file__).parent / "crashing.py"), str(folder), "promote", "2"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    context = make_context(folder)
    assert fold(context.ledger.entries("hand")).pending
    context.store.delete_alias("hand", "production")
    lines = reconcile(context, "hand").acted
    assert any("undone, alias 'production' moved to none meanwhile" in line for line in lines)
    never_both(context)
    assert "production" not in context.store.aliases("hand")
