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
_LEAST_POINTS = 0.05
"""What one digit after the point shows."""


def scores_by_model(scores: Mapping[VersionKey, Evaluation]) -> dict[str, dict[VersionKey, Evaluation]]:
    """The same, apart for each model, the oldest version first."""
    apart = dict[str, dict[VersionKey, Evaluation]]()
    for key in sorted(scores, key=lambda key: (key[2], key[1])):
        apart.setdefault(key[0], {})[key] = scores[key]
    return apart


def quality_trend(scores: Mapping[VersionKey, Evaluation], state: PromotionState) -> pd.DataFrame:
    """Columns version, score, low, high, clips, stage and data set: a model's newest 20 scored versions, the oldest first.

    `scores` are the model's, in order. Only those of one task are shown, that of the version in production, or else the newest:
    a percentage and an mAP are not on one axis.
    """
    keys = list(scores)
    serving = next((key for key in keys if state.stage_of(key[1:]) is Stage.PRODUCTION), keys[-1] if keys else None)
    keys = [key for key in keys if serving and scores[key].task == scores[serving].task][-_MOST_VERSIONS:]
    rows = [
        (
            str(key[1]),
            scores[key].score,
            *scores[key].interval,
            scores[key].clips,
            state.stage_of(key[1:]).value,
            scores[key].dataset,
        )
        for key in keys
    ]
    return pd.DataFrame(rows, columns=["version", "score", "low", "high", "clips", "stage", "data set"])


def trend_words(trend: pd.DataFrame) -> str:
    """How the version in production compares with the scored version before it; empty where there is none."""
    numbers = trend.index[trend["stage"] == Stage.PRODUCTION.value]
    if not len(numbers) or not numbers[0]:
        return ""
    now, before = trend.loc[numbers[0]], trend.loc[numbers[0] - 1]
    against = f"against version {before['version']}"
    if now["data set"] != before["data set"]:
        return f"not compared {against}, which was scored on another data set"
    moved = 100 * (now["score"] - before["score"])
    if abs(moved) < _LEAST_POINTS:
        return f"the same {against}"
    overlap = now["low"] <= before["high"] and before["low"] <= now["high"]
    return f"{moved:+.1f} points {against}{', within the 95% intervals' if overlap else ''}"


def money_trend(
    spent: Iterable[Spend], expected: Mapping[str, Decimal], limits: Mapping[str, Decimal], now: datetime
) -> pd.DataFrame:
    """Columns month, usd, what and budget: what each of the last twelve months cost, from the first on, and this one comes to.

    `expected` is model → what its month is expected to come to; `limits` is model → its budget of a month. This month's
    budget is their sum, and is left out where a model that costs something has none.
    """
    month, sums = f"{now:%Y-%m}", dict[str, Decimal]()
    for spend in spent:
        sums[spend.month] = sums.get(spend.month, _ZERO) + spend.usd
    used = sums.setdefault(month, _ZERO)
    whole = limits and all(model in limits for model, usd in expected.items() if usd)
    budget = float(sum(limits.values(), _ZERO)) if whole else None
    past = [name for name in _months_until(now) if name >= min(sums)]
    rows = [(name, float(sums.get(name, _ZERO)), "spent", budget if name == month else None) for name in past]
    rows.append((month, max(float(sum(expected.values(), _ZERO) - used), 0.0), "expected", budget))
    return pd.DataFrame(rows, columns=["month", "usd", "what", "budget"])


def _months_until(now: datetime) -> list[str]:
    """The twelve calendar months that end with this one."""
    last = now.year * 12 + now.month - 1
    return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(last - _MOST_MONTHS + 1, last + 1)]
