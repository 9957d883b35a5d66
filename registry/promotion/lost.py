"""What serves and is gone from MLflow: reported once, and once more when it is back. What serves it goes on meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from registry.events import Lost, Regained
from registry.promotion.context import PromotionContext
from registry.promotion.state import Holder, PromotionState, fold
from registry.protocols import Entry
from registry.records import ModelVersion


def report_gone(context: PromotionContext, model: str) -> list[str]:
    """Report every version of a model that serves, because the whole model is gone."""
    entries = context.ledger.entries(model)
    gone = [
        lose(context, entries, holder, f"the whole model '{model}' is gone from MLflow")
        for holder in fold(entries).holders.values()
    ]
    return [line for lines in gone for line in lines]


def lose(context: PromotionContext, entries: Sequence[Entry], holder: Holder, why: str) -> list[str]:
    """Record and report, once, that a version which serves is gone."""
    reason = f"{why}; what serves it goes on until another version is promoted"
    fresh = Lost(**holder.promotion.subject, stage=holder.promotion.stage, reason=reason)
    if fold(entries).lost.get(fresh.stage) == fresh:
        return []
    context.ledger.append(fresh)
    return [str(fresh)]


def regain(context: PromotionContext, versions: Mapping[int, ModelVersion], state: PromotionState) -> list[str]:
    """Record that what was lost is there again."""
    back = [holder for stage, holder in state.holders.items() if stage in state.lost and not is_missing(versions, holder)]
    events = [Regained(**holder.promotion.subject, stage=holder.promotion.stage) for holder in back]
    if events:
        context.ledger.append_all(events)
    return [str(event) for event in events]


def is_missing(versions: Mapping[int, ModelVersion], holder: Holder) -> bool:
    """Whether the version that serves is not in MLflow any more."""
    return holder.identity not in {version.identity for version in versions.values()}
