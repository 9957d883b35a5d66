"""A canary ends once, whoever ends it: by its figures, by hand, or by a deployment, in whatever order they interleave."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.deployment.canary.settle import CanarySettler
from pipelines.deployment.canary.start import Canaries
from pipelines.deployment.canary.state import Canary, active_canary, canary_of, counting_words
from pipelines.deployment.targets import Targets
from registry.errors import ModelyardError, RefusedError
from registry.events import CanaryEnded, CanaryStarted, about
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import ImpatientLeases, PromotionContext
from registry.promotion.due import View
from registry.promotion.promote import promote
from registry.records import Actor, Evidence, Finding
from registry.refs import Ref
from registry.settings import Settings
from registry.stages import Stage
from serving.canary.rules import CanaryRules, Verdict
from serving.canary.tally import Side, Tally, TrafficCounter

ADA = Actor("ada", proven=True)
RULES = CanaryRules(share=0.5, requests=20, hours_at_most=24)
GOOD = Tally("b", Side(requests=40, buckets=(40, *(0,) * 67)), Side(requests=40, buckets=(40, *(0,) * 67)), compared=40)
BAD = GOOD.changed(disagreed=40)


class Passes:
    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="always", passed=True, text="passes")]


@dataclass
class Beside:
    """A target that only remembers what was asked of it."""

    counted: Tally = GOOD
    calls: list[str] = field(default_factory=list)

    def split(self, name: str, canary: object, share: float) -> None:
        self.calls.append("split")

    def tally(self, name: str) -> Tally:
        return self.counted

    def delete(self, name: str) -> None:
        self.calls.append(f"delete {name}")


@dataclass(frozen=True)
class OneTarget(Targets):
    target: Beside = field(default_factory=Beside)

    def of(self, event: object) -> Beside:  # type: ignore[override]
        return self.target


@dataclass
class Scene:
    """A canary of version 2 beside version 1."""

    context: PromotionContext
    settler: CanarySettler
    target: Beside

    def canary(self) -> Canary:
        return active_canary(self.context.ledger.entries("hand"), "hand", Stage.PRODUCTION)

    def ended(self) -> list[str]:
        rows = [row.event for row in self.context.ledger.entries("hand")]
        return [event.outcome for event in rows if isinstance(event, CanaryEnded)]

    def serves(self) -> int:
        return self.context.store.aliases("hand")["production"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    store, ledger = MemoryStore(), MemoryLedger()
    gates = dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (Passes(),))
    context = PromotionContext(store, ledger, FileLeases(tmp_path / "leases"), gates)
    for number in (1, 2, 3):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "weights").write_text(str(number))
        store.register("hand", tmp_path / f"v{number}")
    for number in (1, 2):
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            promote(context, Ref("hand", number), stage, ADA)
    target = Beside()
    canaries = Canaries(ledger, OneTarget(Settings(home=tmp_path), target), tmp_path, lambda _: None, context.leases)
    fields = {"target": "local", "url": "-", "bundle": "b", "against": 1, "rules": RULES.model_dump(), "owner": ""}
    version = store.versions("hand")[1]
    digest = canary_digest(context)
    ledger.append(CanaryStarted(**about(version, digest), stage=Stage.PRODUCTION, **fields))
    return Scene(context, CanarySettler(canaries), target)


def canary_digest(context: PromotionContext) -> str:
    from registry.promotion.verdict import digest_version

    return digest_version(context.store, context.store.versions("hand")[1])


def verdict(state: str) -> Verdict:
    return Verdict(state=state, reason=f"judged {state}", figures={})


def quietly(act: Callable[[], object]) -> None:
    """Whoever comes second is refused, which is an answer."""
    with contextlib.suppress(RefusedError):
        act()


@pytest.mark.parametrize("states", list(itertools.product(("good", "bad"), repeat=2)))
def test_two_who_saw_the_same_canary_cannot_both_end_it(scene: Scene, states: tuple[str, str]) -> None:
    seen = scene.canary()
    scene.settler.end(scene.context, seen, verdict(states[0]), ADA)
    with pytest.raises(RefusedError):
        scene.settler.end(scene.context, seen, verdict(states[1]), ADA)
    assert scene.ended() == ["promoted" if states[0] == "good" else "rolled_back"]
    assert scene.serves() == (2 if states[0] == "good" else 1)


@pytest.mark.parametrize("counted", [GOOD, BAD])
@pytest.mark.parametrize("turn", range(8))
def test_figures_and_hands_at_once_come_to_one_verdict_and_the_stage_follows_it(
    scene: Scene, counted: Tally, turn: int
) -> None:
    scene.target.counted = counted
    seen, gate = scene.canary(), threading.Barrier(4)

    def by_hand(state: str) -> None:
        gate.wait()
        quietly(lambda: scene.settler.end(scene.context, seen, verdict(state), ADA))

    def by_figures() -> None:
        view = View(scene.context.ledger)
        view.refresh()
        gate.wait()
        assert not [line for line in scene.settler.settle(view, lambda _: scene.context) if "could not" in line]

    actors = [lambda: by_hand("good"), lambda: by_hand("bad"), by_figures, by_figures]
    threads = [threading.Thread(target=act) for act in actors[turn % 4 :] + actors[: turn % 4]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    view = View(scene.context.ledger)
    view.refresh()
    scene.settler.settle(view, lambda _: scene.context)
    (outcome,) = scene.ended()
    assert scene.serves() == (2 if outcome == "promoted" else 1)


def test_a_late_verdict_undoes_no_later_decision(scene: Scene) -> None:
    seen = scene.canary()
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        promote(scene.context, Ref("hand", 3), stage, ADA)
    with pytest.raises(RefusedError, match="another version came to hold it meanwhile"):
        scene.settler.end(scene.context, seen, verdict("bad"), ADA)
    assert (scene.ended(), scene.serves(), scene.target.calls) == ([], 3, [])
    with pytest.raises(RefusedError):
        scene.settler._go_back(scene.context, seen)
    assert (scene.serves(), scene.target.calls) == (3, [])


def test_of_two_rows_of_an_older_release_the_first_decides(scene: Scene) -> None:
    seen = scene.canary()
    for outcome in ("rolled_back", "promoted"):
        fields = {"stage": Stage.PRODUCTION, "outcome": outcome, "reason": "-", "actor": "a", "figures": {}}
        scene.context.ledger.append(CanaryEnded(**seen.started.subject, **fields))
    canary = canary_of(scene.context.ledger.entries("hand"), Stage.PRODUCTION)
    assert canary is not None
    assert canary.ended is not None
    assert canary.ended.outcome == "rolled_back"


def test_who_works_on_the_model_keeps_nobody_waiting(scene: Scene) -> None:
    """A pass of the reconciler over other models goes on while an export of this one takes minutes."""
    seen = scene.canary()
    with scene.context.working("hand"):
        scene.settler._remove(scene.context, seen)
        assert scene.target.calls == []
    scene.settler._remove(scene.context, seen)
    assert scene.target.calls == ["split", "delete hand-production-canary"]


def test_a_cloud_that_does_not_answer_keeps_no_stage_from_going_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> None:
        raise ModelyardError("cloud", "is away", "wait")

    monkeypatch.setattr(scene.target, "delete", away)
    scene.settler.end(scene.context, scene.canary(), verdict("bad"), ADA)
    assert scene.serves() == 1


@pytest.mark.parametrize("set_back_h", [0, 1, 30, 24 * 400])
def test_a_clock_that_was_set_back_keeps_no_canary_alive(scene: Scene, set_back_h: int) -> None:
    seen = scene.canary()
    scene.target.counted = Tally("b", seconds=25 * 3600.0)
    at = seen.at + timedelta(hours=1) - timedelta(hours=set_back_h)
    assert scene.settler.verdict(seen, at).state == "bad"
    scene.target.counted = Tally("b", seconds=3600.0)
    assert scene.settler.verdict(seen, at).state == "going"
    assert " in -" not in scene.settler.verdict(seen, at).reason


def test_hours_are_counted_by_a_clock_that_nobody_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"monotonic": 100.0, "time": 1_800_000_000.0}
    monkeypatch.setattr("serving.canary.tally.time.monotonic", lambda: times["monotonic"])
    monkeypatch.setattr("serving.canary.tally.time.time", lambda: times["time"])
    counter = TrafficCounter("b", 0.5, tmp_path / "t.json")
    counter.save()
    times |= {"monotonic": 3700.0, "time": 1_700_000_000.0}
    counter.save()
    assert (counter.tally.seconds, counter.tally.saved_at) == (3600.0, 1_700_000_000.0)
    times["monotonic"] = 3705.0
    counter.save()
    assert counter.tally.seconds == 3600.0, "unchanged, and no heartbeat is due"
    again = TrafficCounter("b", 0.5, tmp_path / "t.json")
    times["monotonic"] = 3720.0
    again.save()
    assert again.tally.seconds == 3615.0


def test_status_says_whether_anybody_counts() -> None:
    at = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert "counted yet" in counting_words(None, at)
    assert counting_words(at - timedelta(seconds=5), at).startswith("counted until 2026-11-26 11:59:55")
    assert "nothing was saved for 60 minutes" in counting_words(at - timedelta(hours=1), at)


@pytest.mark.parametrize("counted", [GOOD, BAD])
def test_a_pass_waits_for_nobody_who_decides_about_the_model_and_ends_its_canary_later(scene: Scene, counted: Tally) -> None:
    scene.target.counted = counted
    impatient = replace(scene.context, leases=ImpatientLeases(scene.context.leases), hooks={})
    view, lines = View(scene.context.ledger), list[str]()
    view.refresh()
    settling = threading.Thread(target=lambda: lines.extend(scene.settler.settle(view, lambda _: impatient)), daemon=True)
    with scene.context.deciding("hand"):
        settling.start()
        settling.join(10)
        assert not settling.is_alive()
        assert (lines, scene.ended()) == ([], [])
    scene.settler.settle(view, lambda _: impatient)
    assert scene.ended() == ["promoted" if counted is GOOD else "rolled_back"]
