"""How quality and spending developed, without Streamlit: a model's scores over its versions, and the months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import pandas as pd

from registry.money.books import Spend
from registry.promotion.state import PromotionState
from registry.records import Evaluation
from registry.reports.accuracy import VersionKey
from registry.stages import Stage

_MOST_VERSIONS, _MOST_MONTHS = 20, 12
_ZERO = Decimal(0)


def quality_trend(model: str, scores: Mapping[VersionKey, Evaluation], state: PromotionState) -> pd.DataFrame:
    """Columns version, score, low, high, clips and stage: the newest 20 scored versions of a model, the oldest first.

    Scores of a model's newest task only: a percentage and an mAP are not on one axis.
    """
    keys = sorted((key for key in scores if key[0] == model), key=lambda key: (key[2], key[1]))
    keys = [key for key in keys if scores[key].task == scores[keys[-1]].task][-_MOST_VERSIONS:]
    rows = [
        (str(key[1]), scores[key].score, *scores[key].interval, scores[key].clips, state.stage_of(key[1:]).value)
        for key in keys
    ]
    return pd.DataFrame(rows, columns=["version", "score", "low", "high", "clips", "stage"])


def trend_words(trend: pd.DataFrame) -> str:
    """How the version in production compares with the scored version before it; empty where there is none."""
    numbers = trend.index[trend["stage"] == Stage.PRODUCTION.value]
    if not len(numbers) or not numbers[0]:
        return ""
    now, before = trend.loc[numbers[0]], trend.loc[numbers[0] - 1]
    moved = f"{100 * (now['score'] - before['score']):+.1f} points" if now["score"] != before["score"] else "the same"
    overlap = now["low"] <= before["high"] and before["low"] <= now["high"]
    doubt = ", within the 95% intervals" if overlap and now["score"] != before["score"] else ""
    return f"{moved} against version {before['version']}{doubt}"


def money_trend(
    spent: Iterable[Spend], expected: Mapping[str, Decimal], limits: Mapping[str, Decimal], now: datetime
) -> pd.DataFrame:
    """Columns month, usd, what and budget: what each of the last twelve months cost, and what this one comes to.

    `expected` is model → what its month is expected to come to; `limits` is model → its budget of a month. This month's
    budget is their sum, and is left out where a model that costs something has none.
    """
    month, sums = f"{now:%Y-%m}", dict[str, Decimal]()
    for spend in spent:
        sums[spend.month] = sums.get(spend.month, _ZERO) + spend.usd
    used = sums.setdefault(month, _ZERO)
    whole = limits and all(model in limits for model, usd in expected.items() if usd)
    budget = float(sum(limits.values(), _ZERO)) if whole else None
    rows = [(name, float(sums[name]), "spent", budget if name == month else None) for name in sorted(sums)[-_MOST_MONTHS:]]
    rows.append((month, max(float(sum(expected.values(), _ZERO) - used), 0.0), "expected", budget))
    return pd.DataFrame(rows, columns=["month", "usd", "what", "budget"])
