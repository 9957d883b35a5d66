"""Another decision comes between the look and the lease, at every moment of every decision, and nothing contradicts it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from registry.events import Archived, Flipped, Promoted, Undone
from registry.ledger.store import open_ledger
from registry.memory import MemoryLedger
from registry.mlflow.server.admission import Admission
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote, rollback
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.protocols import Ledger
from registry.refs import Ref
from registry.stages import ALIASES, Stage

sys.path.insert(0, str(Path(__file__).parent))
from interleaving import ADA, EVE, Moments, make_world, trying

MOST = 60
Action = Callable[[PromotionContext], object]
Start = Callable[[Path, Ledger], tuple[PromotionContext, Moments]]


def in_mlflow(version: int, stage: Stage) -> Action:
    """Set an alias as MLflow's server does: asked, moved, written down."""

    def act(context: PromotionContext) -> None:
        admission = Admission(context.store, context.ledger, lambda _: context, lambda: EVE)
        begun = admission.set_registered_model_alias("hand", stage.value, version)
        context.store.set_alias("hand", stage.value, version)
        if begun is not None:
            begun.finish()

    return act


def request(version: int, stage: Stage) -> Action:
    """An alias that was written past the server, and a pass of the reconciler."""

    def act(context: PromotionContext) -> None:
        context.store.set_alias("hand", stage.value, version)
        reconcile(context, "hand")

    return act


ACTIONS: dict[str, Action] = {
    "promote 2 to production": lambda context: promote(context, Ref("hand", 2), Stage.PRODUCTION, ADA),
    "promote 3 to staging": lambda context: promote(context, Ref("hand", 3), Stage.STAGING, ADA),
    "promote staging to production": lambda context: promote(context, Ref("hand", alias="staging"), Stage.PRODUCTION, ADA),
    "roll back": lambda context: rollback(context, "hand", Stage.PRODUCTION, None, ADA),
    "roll back to 1": lambda context: rollback(context, "hand", Stage.PRODUCTION, 1, ADA),
    "archive 1": lambda context: promote(context, Ref("hand", 1), Stage.ARCHIVED, ADA),
    "archive 2": lambda context: promote(context, Ref("hand", 2), Stage.ARCHIVED, ADA),
    "archive staging": lambda context: promote(context, Ref("hand", alias="staging"), Stage.ARCHIVED, ADA),
    "alias production 1 in MLflow": in_mlflow(1, Stage.PRODUCTION),
    "alias staging 3 in MLflow": in_mlflow(3, Stage.STAGING),
    "reconcile production 1": request(1, Stage.PRODUCTION),
}


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.promotion.verdict.tools", dict)
        yield


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> PromotionContext:
    """hand/1 and hand/3 were in production, hand/3 still is; hand/2 is in staging. Nobody changes it."""
    context, _ = make_world(tmp_path_factory.mktemp("promoted"), MemoryLedger())
    for number in (1, 3):
        promote(context, Ref("hand", number), Stage.STAGING, ADA)
        promote(context, Ref("hand", number), Stage.PRODUCTION, ADA)
    promote(context, Ref("hand", 2), Stage.STAGING, ADA)
    return context


@pytest.fixture
def start(promoted: PromotionContext) -> Start:
    """Makes a watched world in that state, from the rows, aliases and tags that promoting left."""

    def started(folder: Path, ledger: Ledger) -> tuple[PromotionContext, Moments]:
        context, moments = make_world(folder, ledger)
        ledger.append_all([row.event for row in promoted.ledger.entries()])
        for alias, number in promoted.store.aliases("hand").items():
            context.store.set_alias("hand", alias, number)
        for version in promoted.store.versions("hand"):
            context.store.annotate(version, dict(version.tags))
        return context, moments

    return started


def check_sound(context: PromotionContext) -> None:
    """What holds once everybody has ended: ledger and aliases say the same, and nothing that was archived serves."""
    rows = context.ledger.entries("hand")
    state, aliases = fold(rows), context.store.aliases("hand")
    assert not state.pending
    assert not state.leaving
    assert {stage.value: holder.identity[0] for stage, holder in state.holders.items()} == aliases
    assert not {holder.identity for holder in state.holders.values()} & state.archived
    assert len(set(aliases.values())) == len(aliases), "a version holds one stage"
    waiting: Promoted | None = None
    for event in (row.event for row in rows):
        match event:
            case Promoted():
                assert waiting is None, "a decision was made while another one was half done"
                waiting = event
            case Flipped() | Undone():
                assert waiting is not None
                assert (waiting.identity, waiting.stage) == (event.identity, event.stage)
                waiting = None
            case Archived():
                assert waiting is None
            case _:
                pass
    assert waiting is None


def interleave(start: Callable[[], tuple[PromotionContext, Moments]], names: tuple[str, str]) -> int:
    """The second action at each moment of the first; how many moments there were.

    Decisions by command have ended when they end; what was asked for in MLflow is tidied by the reconciler's next passes.
    """
    first, second = (ACTIONS[name] for name in names)
    settle = any("MLflow" in name or "reconcile" in name for name in names)
    for at in range(1, MOST):
        context, moments = start()
        outcomes: list[Exception | None] = []
        moments.at, moments.seen = at, 0
        moments.other = lambda context=context, outcomes=outcomes: outcomes.append(trying(lambda: second(context)))
        refused = trying(lambda context=context: first(context))
        moments.at = 0
        assert refused is None or "; " in str(refused) or "modelyard" in str(refused), "one line that names what to do"
        if settle:
            reconcile(context, "hand")
            reconcile(context, "hand")
        check_sound(context)
        if not outcomes:
            return at
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("second", ACTIONS)
@pytest.mark.parametrize("first", ACTIONS)
def test_a_decision_in_between_is_never_contradicted(start: Start, tmp_path: Path, first: str, second: str) -> None:
    moments = interleave(lambda: start(tmp_path, MemoryLedger()), (first, second))
    assert moments > 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("promote 2 to production", "archive 2"), ("roll back", "archive 1"), ("alias production 1 in MLflow", "archive 1")],
)
def test_the_same_on_a_ledger_in_a_database(start: Start, tmp_path: Path, first: str, second: str) -> None:
    numbers = count(1)
    interleave(lambda: start(tmp_path, open_ledger(f"sqlite:///{tmp_path / f'{next(numbers)}.db'}")), (first, second))


def test_nothing_interferes_where_nobody_interrupts(start: Start, tmp_path: Path) -> None:
    for name, action in ACTIONS.items():
        context, _ = start(tmp_path, MemoryLedger())
        assert trying(lambda context=context, action=action: action(context)) is None, name
        reconcile(context, "hand")
        check_sound(context)


@pytest.mark.parametrize("how", ["named", "by the canary"])
def test_what_was_archived_while_its_bytes_were_hashed_is_not_returned_to(start: Start, tmp_path: Path, how: str) -> None:
    ends: list[Exception | None] = []
    for at in range(1, MOST):
        context, moments = start(tmp_path, MemoryLedger())
        acted: list[object] = []
        moments.at, moments.seen = at, 0
        archive = lambda context=context, acted=acted: acted.append(trying(lambda: ACTIONS["archive 1"](context)))  # noqa: E731
        moments.other = archive
        holder = fold(context.ledger.entries("hand")).holders[Stage.PRODUCTION]
        since = holder.since if how == "by the canary" else None
        back = lambda context=context, since=since: rollback(context, "hand", Stage.PRODUCTION, 1, ADA, since)  # noqa: E731
        ends.append(trying(back))
        moments.at = 0
        state = fold(context.ledger.entries("hand"))
        assert not {holder.identity for holder in state.holders.values()} & state.archived
        if not acted:
            break
    assert any("was archived since it was ratified" in str(end) for end in ends)
    assert ends[-1] is None
    assert set(ALIASES) >= set(context.store.aliases("hand"))
