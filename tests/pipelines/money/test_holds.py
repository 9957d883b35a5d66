"""Nobody passes a budget: not in any order of starts, ends, kills and settings, and not by starting at the same moment."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.job.jobfile import Budget, parse_job
from pipelines.job.policy import set_policy
from pipelines.money.budgets import hold_budget, override, override_person, set_person_budget, standing_of, standings
from pipelines.money.holds import Start, holding, release_ended
from registry.errors import InputError, RefusedError
from registry.events import now
from registry.lease import FileLeases, Lease
from registry.memory import MemoryLedger
from registry.opening import ledger_of
from registry.records import Actor
from registry.reports.budgets import live_holds, person_standing
from registry.settings import Settings
from registry.spending import BudgetHeld, TrainingFailed

ADA = Actor("ada", proven=True)
USD = Decimal(1)


class Free:
    """Leases that nobody else wants."""

    @contextmanager
    def hold(self, _: str, *, wait: bool = True) -> Generator[Lease]:
        assert wait
        yield Lease()


def run(usd: Decimal | str, model: str = "hand", person: str = "ada", run_id: str = "r") -> TrainingFailed:
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(usd), "price_as_of": "2026-11-01", "reason": "ended"}
    return TrainingFailed(model=model, trainer="torch", run_id=run_id, actor=person, **fields)


def start(usd: str | None, model: str = "hand", person: str = "ada", process: str = "") -> Start:
    return Start(model, person, None if usd is None else Decimal(usd), Decimal(1), process=process)


def ledger_with(usd_per_month: int = 10) -> MemoryLedger:
    made = MemoryLedger()
    for model in ("hand", "foot"):
        job = {"model": model, "train": [{"kind": "torch"}], "budget": {"usd_per_month": usd_per_month}}
        set_policy(made, parse_job(job, "job"), ADA)
    return made


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["start", "start", "start", "end", "end", "kill"]),
        st.sampled_from(["hand", "foot"]),
        st.sampled_from(["ada", "eve"]),
        st.integers(0, 900),
        st.floats(0, 1),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, model_usd=st.integers(1, 12), person_usd=st.integers(1, 12))
def test_no_order_of_starts_and_ends_spends_more_than_any_budget(
    steps: list[tuple[str, str, str, int, float]], model_usd: int, person_usd: int
) -> None:
    ledger, running, killed = ledger_with(model_usd), list[tuple[ExitStack, Start]](), list[ExitStack]()
    for person in ("ada", "eve"):
        set_person_budget(ledger, person, Decimal(person_usd), ADA)
    for number, (what, model, person, cents, share) in enumerate(steps):
        if what == "start":
            asked, stack = Start(model, person, Decimal(cents) / 100, USD), ExitStack()
            with suppress(RefusedError):
                stack.enter_context(holding(ledger, Free(), asked))
                running.append((stack, asked))
        elif running:
            stack, asked = running.pop(cents % len(running))
            ledger.append(run(used(asked, share), asked.model, asked.person, str(number)))
            if what == "kill":  # nobody releases it: it counts on beside what is booked, which is only ever too careful
                killed.append(stack.pop_all())
            stack.close()
        in_bounds(ledger, Decimal(model_usd), Decimal(person_usd))
    for stack, _ in running:
        stack.close()
    assert len(live_holds(ledger.entries(), now())) <= len(killed)


def used(asked: Start, share: float) -> Decimal:
    """What a training cost in the end: a share of what it was quoted at, at most."""
    return ((asked.usd or USD) * Decimal(str(round(share, 3)))).quantize(Decimal("0.0001"), ROUND_DOWN)


def in_bounds(ledger: MemoryLedger, model_usd: Decimal, person_usd: Decimal) -> None:
    rows, at = ledger.entries(), now()
    assert all(standing_of(rows, model, at).spent_usd <= model_usd for model in ("hand", "foot"))
    assert all(person_standing(rows, person, at).spent_usd <= person_usd for person in ("ada", "eve"))


def test_a_start_is_refused_by_what_is_spent_held_and_quoted_and_says_so() -> None:
    ledger = ledger_with()
    ledger.append(run("6"))
    with holding(ledger, Free(), start("3")):
        with (
            pytest.raises(
                RefusedError,
                match=r"budget of hand: \$6\.00 of \$10\.00 is spent in .*, \$3\.00 is held by trainings that run, and this is "
                r"quoted at up to \$2\.00; wait for them, raise `budget` in the job, or run `modelyard budget override hand",
            ),
            holding(ledger, Free(), start("2")),
        ):
            pytest.fail("it was to be refused")
        assert "$3.00 held by trainings that run" in str(standing_of(ledger.entries(), "hand", now()))
    with holding(ledger, Free(), start("4")):
        pass


def test_a_persons_budget_is_over_all_models_and_nobody_elses() -> None:
    ledger = ledger_with(100)
    set_person_budget(ledger, "ada", Decimal(5), ADA)
    ledger.append(run("3", "hand"))
    ledger.append(run("1.5", "foot", run_id="s"))
    line = r"budget of ada: \$4\.50 of \$5\.00 .*modelyard budget person ada --usd-per-month"
    with pytest.raises(RefusedError, match=line), holding(ledger, Free(), start("0.6", "foot")):
        pass
    with holding(ledger, Free(), start("0.6", "foot", "eve")):
        pass
    lines: list[str] = []
    hold_budget(ledger.entries(), "foot", lines.append, person="ada")
    assert lines == [f"budget: ada spent $4.50 of $5.00 in {now():%Y-%m}"]
    ledger.append(run("1", "foot", run_id="t"))
    with pytest.raises(RefusedError, match="budget of ada: is spent"):
        hold_budget(ledger.entries(), "foot", lines.append, person="ada")
    override_person(ledger, "ada", "the fair", ADA)
    hold_budget(ledger.entries(), "foot", lines.append, person="ada")
    assert person_standing(ledger.entries(), "ada", datetime(2099, 1, 1, tzinfo=UTC)).state == "ok"
    set_person_budget(ledger, "ada", None, ADA)
    assert person_standing(ledger.entries(), "ada", now()).limit_usd is None


def test_an_override_lets_a_start_pass_that_would_only_come_to_too_much() -> None:
    ledger = ledger_with()
    with pytest.raises(RefusedError), holding(ledger, Free(), start("11")):
        pass
    override(ledger, "hand", "once", ADA)
    with holding(ledger, Free(), start("11")):
        assert standing_of(ledger.entries(), "hand", now()).held_usd == 11


def test_what_nothing_is_known_of_holds_no_more_than_is_left_and_the_next_waits() -> None:
    ledger = ledger_with(1)
    ledger.append(run("0.4"))
    with holding(ledger, Free(), start(None)):
        assert standing_of(ledger.entries(), "hand", now()).held_usd == Decimal("0.6")
        with pytest.raises(RefusedError, match="is not quoted yet; wait for them"), holding(ledger, Free(), start(None)):
            pass


def test_without_a_budget_no_row_is_written() -> None:
    ledger = MemoryLedger()
    with holding(ledger, Free(), start("1000")):
        pass
    assert ledger.entries() == []
    with holding(ledger, Free(), start("1"), Budget(usd_per_month=Decimal(2))):
        pass
    assert [row.event.usd for row in ledger.entries() if isinstance(row.event, BudgetHeld)] == [1, 0]


def test_a_hold_gets_smaller_as_its_trainings_are_booked_and_ends_however_the_block_ends() -> None:
    ledger = ledger_with()
    with pytest.raises(KeyboardInterrupt), holding(ledger, Free(), start("4")) as hold:
        hold.lower(Decimal(3))
        hold.lower(Decimal(9))
        assert standing_of(ledger.entries(), "hand", now()).held_usd == 3
        raise KeyboardInterrupt
    assert standing_of(ledger.entries(), "hand", now()).held_usd == 0


def test_what_a_killed_process_holds_is_released_by_the_next_start_or_by_time() -> None:
    ledger = ledger_with()
    killed = ExitStack()
    killed.enter_context(holding(ledger, Free(), start("4", process="gone")))
    assert standing_of(ledger.entries(), "hand", now()).held_usd == 4
    assert live_holds(ledger.entries(), now() + timedelta(hours=2)) == []
    assert [hold.usd for hold in release_ended(ledger, lambda mark: mark == "gone")] == [4]
    assert standing_of(ledger.entries(), "hand", now()).held_usd == 0


@pytest.mark.parametrize("amount", ["0", "-1", "NaN", "Infinity"])
def test_a_budget_that_is_none_is_refused(amount: str) -> None:
    with pytest.raises(InputError, match="is no amount"):
        set_person_budget(MemoryLedger(), "ada", Decimal(amount), ADA)
    with pytest.raises(InputError, match="budget of ada: is not set; set it with `modelyard budget person ada"):
        override_person(MemoryLedger(), "ada", "why not", ADA)


def _starts(home: str, together: Any, answers: Any, over: Any) -> None:
    """One of several processes that start at once, and hold what they got until all have answered."""
    opened = Settings(home=Path(home))
    together.wait(120)
    try:
        with holding(ledger_of(opened), FileLeases(opened.home / "leases"), start("4")):
            answers.put("started")
            over.wait(120)
    except RefusedError:
        answers.put("refused")


def test_of_starts_at_the_same_moment_only_those_that_fit_pass(tmp_path: Path) -> None:
    opened = Settings(home=tmp_path / "home")
    ledger = ledger_of(opened)
    set_policy(ledger, parse_job({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 10}}, "j"), ADA)
    spawn = multiprocessing.get_context("spawn")
    together, answers, over = spawn.Barrier(4), spawn.Queue(), spawn.Event()
    processes = [spawn.Process(target=_starts, args=(str(opened.home), together, answers, over)) for _ in range(4)]
    for process in processes:
        process.start()
    answered = sorted(answers.get(timeout=120) for _ in processes)
    over.set()
    for process in processes:
        process.join(60)
    assert answered == ["refused", "refused", "started", "started"]
    assert standings(ledger.entries(), "hand", "", now())[0].held_usd == 0
