"""What `modelyard up` says when it starts: which keys it was started without, and what it will not look after for that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipelines.deployment.keys import KeyWatch, needed_accounts
from pipelines.deployment.targets import Targets
from pipelines.job.policy import current_policy
from registry.errors import ModelyardError
from registry.promotion.state import fold
from registry.reports.attention import by_model
from registry.stages import ALIASES

if TYPE_CHECKING:
    from pipelines.deployment.outages import Account
    from pipelines.home import Home
    from registry.protocols import Entry


def missing_keys(home: Home) -> list[str]:
    """A sentence for each account that the stages of a home need, and whose key is not set in this process."""
    targets = Targets(home.settings)
    try:
        return KeyWatch(targets).look(_needed(targets, home.ledger().entries()))
    except ModelyardError:  # a ledger that cannot be read stops the reconciler, which says so
        return []


def _needed(targets: Targets, entries: Sequence[Entry]) -> Iterator[tuple[Account, str]]:
    for model, rows in by_model(entries).items():
        try:
            job = current_policy(rows)
        except ModelyardError:  # of a package that is not installed here
            job = None
        deploys = {stage: job.deploy.of(stage) for stage in fold(rows).holders if stage in ALIASES} if job else {}
        yield from needed_accounts(targets, model, rows, {stage: config for stage, config in deploys.items() if config})
