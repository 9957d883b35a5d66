"""What becomes a notice: budgets once each, and nothing that concerns nobody."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pipelines.home import Home
from pipelines.services.notices import budget_notices, notice_of
from registry.events import Flipped, PolicySet, Trained
from registry.settings import Settings
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from receivers import HAND


def test_a_budget_is_told_when_it_warns_and_when_it_is_spent_once_each(tmp_path: Path) -> None:
    shop, known = Home(Settings(home=tmp_path)), dict[str, str]()
    from pipelines.job.jobfile import Job

    policy = Job.model_validate({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": "1"}}).model_dump(
        mode="json"
    )
    shop.ledger().append(PolicySet(model="hand", actor="ada", job=policy, policy_hash="p"))
    fields = {
        "trainer": "torch",
        "run_id": "r",
        "dataset": "d",
        "seconds": 1,
        "hardware": "local: x",
        "price_as_of": "2026-11-22",
    }
    at, seen = datetime.now(UTC), list[str]()
    for usd in ("0.5", "0.35", "0.05", "0.2", "0.1"):
        shop.ledger().append(Trained(**HAND, usd=Decimal(usd), **fields))
        seen += [notice.text for notice in budget_notices(shop.ledger().entries(), datetime.now(UTC), known)]
    assert len(seen) == 2
    assert "nearly spent" in seen[0]
    assert "nothing new is started" in seen[1]
    assert f"{at:%Y-%m}" in seen[0]


def test_only_what_concerns_somebody_is_told(tmp_path: Path) -> None:
    shop = Home(Settings(home=tmp_path))
    shop.ledger().append(Flipped(**HAND, stage=Stage.STAGING, previous=None, actor="ada"))
    assert [notice_of(entry) for entry in shop.ledger().entries()] == [None]
