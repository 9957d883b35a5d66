"""A latency that was measured on a busy machine is measured again by the next export; the better figure stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.bundles import export as exporting
from registry.events import Exported
from registry.measured import conditions_in_words
from registry.promotion.context import PromotionContext
from registry.records import Evidence, Latency
from validation.gates.latency import LatencyGate

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import Model, Shop, export, job, quiet


def latency(p95: float, load: float | None) -> Latency:
    return Latency(p50_ms=p95 / 2, p95_ms=p95, first_ms=9, requests=140, rounds=7, load=load)


@pytest.mark.parametrize(
    "case",
    [
        (latency(90, 0.95), latency(12, 0.05), True, 12),
        (latency(90, 0.95), latency(95, 0.05), True, 95),  # nobody disturbed the second one, so it is the truth
        (latency(90, 0.95), latency(95, 0.95), True, 90),
        (latency(90, 0.95), latency(80, 0.95), True, 80),
        (latency(90, 0.3), latency(12, 0.05), False, 90),
        (latency(90, None), latency(12, 0.05), False, 90),  # of an older release: nobody knows how busy it was
    ],
)
def test_a_disturbed_latency_is_measured_again(
    case: tuple[Latency, Latency, bool, float],
    shop: Shop,
    context: PromotionContext,
    model: Model,
    converted: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after, measured, kept = case
    asked = list[int]()

    def measure(_: Path, images: list[Path]) -> Latency:
        asked.append(len(images))
        return after

    monkeypatch.setattr(exporting, "measure_latency", measure)
    version = model()
    first = export(shop, context, job(), version.ref, quiet)
    context.ledger.append(first.model_copy(update={"latency": before}))
    again = export(shop, context, job(), version.ref, quiet)
    assert bool(asked) == measured
    assert again.latency is not None
    assert again.latency.p95_ms == kept
    rows = [entry.event for entry in context.ledger.entries() if isinstance(entry.event, Exported)]
    assert rows[-1].latency == again.latency, "the gate reads the newest row"
    assert (again.bundle, again.path) == (first.bundle, first.path)
    assert len(converted) == 1


def test_the_gate_says_how_busy_the_machine_was_and_what_to_do_about_it() -> None:
    def judged(measured: Latency) -> str:
        facts = Evidence(model="hand", version=3, created_ms=1, digest="d", latency=measured)
        (finding,) = LatencyGate(p95_ms=50).judge(facts)
        return finding.text

    assert judged(latency(60, 0.9)) == (
        "p95 60 ms is above 50 ms (best of 7 rounds; other processes kept 90% of the processors busy; "
        "run `modelyard export hand/3` when it is idle to measure again)"
    )
    assert judged(latency(60, 0.1)).endswith("(best of 7 rounds; other processes kept 10% of the processors busy)")
    assert "again" not in judged(latency(40, 0.9))
    assert judged(latency(60, None)) == "p95 60 ms is above 50 ms"
    assert conditions_in_words(latency(1, None)) == ""
