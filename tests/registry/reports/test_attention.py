"""What needs attention is what the fold of the same rows says."""

from __future__ import annotations

from registry.events import AnyEvent, Flipped, HookDone, HookFailed, Lost, Promoted, Regained, about, now
from registry.memory import MemoryEntry
from registry.promotion.state import TIDY
from registry.records import ModelVersion
from registry.reports.attention import needs_attention
from registry.stages import Stage

HERE = {**about(ModelVersion("hand", 1, 1), "bytes"), "stage": Stage.PRODUCTION}
SERVES = [
    Promoted(**HERE, previous=None, actor="ada", findings=[]),
    Flipped(**HERE, previous=None, actor="ada"),
    HookDone(**HERE, hook=TIDY),
]


def said(*events: AnyEvent) -> list[str]:
    rows = [MemoryEntry(seq, now(), event) for seq, event in enumerate([*SERVES, *events], 1)]
    return [item.what for item in needs_attention(rows)]


def test_a_version_that_is_lost_is_shown_until_it_is_back() -> None:
    lost = Lost(**HERE, reason="the model is gone")
    assert said(lost) == [str(lost)]
    assert said(lost, Regained(**HERE)) == []


def test_a_hook_that_failed_is_shown_until_it_is_done() -> None:
    failed = HookFailed(**HERE, hook="deploy", attempt=1, reason="no room")
    assert said(failed) == [str(failed)]
    assert said(failed, HookDone(**HERE, hook="deploy")) == []
