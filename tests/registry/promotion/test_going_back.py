"""Going back is an undo: further back among versions that served and were not rolled back from; nothing is judged again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import NotFoundError, RefusedError
from registry.memory import MemoryLedger
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote, rollback
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.refs import Ref
from registry.reports.history import history
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from interleaving import ADA, make_world

VERSIONS = 4


def in_production(context: PromotionContext, *numbers: int) -> None:
    for number in numbers:
        promote(context, Ref("hand", number), Stage.STAGING, ADA)
        promote(context, Ref("hand", number), Stage.PRODUCTION, ADA)


def serving(context: PromotionContext) -> int | None:
    holder = fold(context.ledger.entries("hand")).holders.get(Stage.PRODUCTION)
    assert context.store.aliases("hand").get("production") == (holder.identity[0] if holder else None)
    return holder.identity[0] if holder else None


def back(context: PromotionContext, to: int | None = None) -> int:
    return rollback(context, "hand", Stage.PRODUCTION, to, ADA).promotion.version


@pytest.fixture
def context(tmp_path: Path) -> PromotionContext:
    return make_world(tmp_path, MemoryLedger(), VERSIONS)[0]


def test_rolling_back_twice_goes_further_back(context: PromotionContext) -> None:
    in_production(context, 1, 2, 3)
    assert [back(context), back(context)] == [2, 1]
    with pytest.raises(NotFoundError, match="a version of hand further back"):
        back(context)
    assert serving(context) == 1


def test_after_going_back_a_new_version_stands_on_what_served_before_it(context: PromotionContext) -> None:
    in_production(context, 1, 2, 3)
    back(context)
    in_production(context, 4)
    assert [back(context), back(context)] == [2, 1]  # never 3, which was rolled back from


def test_what_was_rolled_back_from_is_returned_to_by_name(context: PromotionContext) -> None:
    in_production(context, 1, 2)
    assert [back(context), back(context, 2), back(context)] == [1, 2, 1]


def test_setting_the_alias_back_in_mlflow_is_a_step_on_the_same_way(context: PromotionContext) -> None:
    in_production(context, 1, 2, 3)
    context.store.set_alias("hand", "production", 2)
    reconcile(context, "hand")
    assert back(context) == 1


def test_a_rollback_shows_whose_verdict_it_rests_on_and_no_findings_as_new(context: PromotionContext) -> None:
    in_production(context, 1, 2)
    judged = next(
        row for row in context.ledger.entries() if row.event.kind == "promoted" and row.event.stage is Stage.PRODUCTION
    )
    outcome = rollback(context, "hand", Stage.PRODUCTION, None, ADA)
    assert outcome.judged is not None
    assert outcome.judged.seq == judged.seq
    assert outcome.promotion.findings == []
    line = next(moment for moment in history(context.ledger.entries("hand"), "hand") if moment.what == "rolled_back")
    assert line.evidence == f"row {judged.seq}"
    assert line.text.endswith(f"(judged in row {judged.seq}, not again)")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("promote"), st.integers(1, VERSIONS)),
        st.tuples(st.just("archive"), st.integers(1, VERSIONS)),
        st.tuples(st.just("to"), st.integers(1, VERSIONS)),
        st.tuples(st.just("back"), st.just(0)),
    ),
    max_size=14,
)


class Undo:
    """The same, written down as an undo stack: what a person expects."""

    def __init__(self) -> None:
        self.way, self.ever, self.now = list[int](), set[int](), None

    def step(self, action: str, number: int) -> int | None:
        """Who serves after a step; -1 where there is nothing to go back to."""
        if action == "promote":
            self._serve(number)
            if self.way[-1:] != [number]:
                self.way.append(number)
        elif action == "archive":
            self.way = [known for known in self.way if known != number]
            self.now = None if self.now == number else self.now
        else:
            target = number if action == "to" else next((n for n in reversed(self.way) if n != self.now), 0)
            if target not in self.ever or target == self.now:
                return -1
            self._serve(target)
            if target in self.way:
                del self.way[len(self.way) - self.way[::-1].index(target) :]
            else:
                self.way.append(target)
        return self.now

    def _serve(self, number: int) -> None:
        self.ever.add(number)
        self.now = number


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_any_sequence_of_decisions_is_an_undo_stack(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int]]
) -> None:
    monkeypatch.setattr("registry.promotion.verdict.tools", dict)
    context, expected = make_world(tmp_path_factory.getbasetemp(), MemoryLedger(), VERSIONS)[0], Undo()
    for action, number in steps:
        after = expected.step(action, number)
        if after == -1:
            with pytest.raises(NotFoundError):
                back(context, number or None)
        elif action == "promote":
            in_production(context, number)
        elif action == "archive":
            promote(context, Ref("hand", number), Stage.ARCHIVED, ADA)
        else:
            assert back(context, number or None) == after
        assert serving(context) == expected.now
        assert fold(context.ledger.entries("hand")).back.get(Stage.PRODUCTION, []) == [(n, n) for n in expected.way]


def test_whoever_goes_back_means_back_from_the_version_that_they_saw(tmp_path: Path) -> None:
    context, moments = make_world(tmp_path, MemoryLedger(), VERSIONS)
    in_production(context, 1, 2, 3)
    moments.at, moments.seen, moments.other = 4, 0, lambda: back(context)
    with pytest.raises(RefusedError, match="hand/2 came to hold it meanwhile"):
        back(context)
    assert serving(context) == 2
