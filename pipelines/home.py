"""A home: its settings, and the ledger, the model registry and the tracker that they name.

MLflow is imported where it is opened, because that takes seconds that a light command must not pay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.address import mlflow_address
from registry.lease import FileLeases
from registry.ledger.store import SqlLedger
from registry.opening import ledger_of
from registry.promotion.context import PromotionContext
from registry.protocols import Leases
from registry.settings import Settings

if TYPE_CHECKING:
    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

Say = Callable[[str], None]
"""Takes one line of progress."""


@dataclass(frozen=True, slots=True)
class Home:
    """The settings, and what is opened by them."""

    settings: Settings

    def store(self) -> MlflowStore:
        """The model registry. Raises UnavailableError where no server runs."""
        uri = mlflow_address(self.settings)  # before the import, which takes seconds: no server, no wait
        from registry.mlflow.store import MlflowStore

        return MlflowStore(uri)

    def mlflow_uri(self) -> str:
        """The address of its MLflow server. Raises UnavailableError where there is none."""
        return mlflow_address(self.settings)

    def tracker(self, experiment: str) -> Tracker:
        """The experiment tracker. Raises UnavailableError where no server runs."""
        uri = mlflow_address(self.settings)
        from registry.mlflow.tracker import Tracker

        return Tracker(uri, experiment)

    def params(self, run_id: str) -> dict[str, str]:
        """A run's parameters."""
        from registry.mlflow.runs import read_params

        return read_params(mlflow_address(self.settings), run_id)

    def ledger(self) -> SqlLedger:
        """The ledger of decisions."""
        return ledger_of(self.settings)

    def leases(self, ledger: SqlLedger) -> Leases:
        """Locked files on one machine; rows of the ledger's database where several machines may share it."""
        return ledger.leases() if ledger.shared else FileLeases(self.settings.home / "leases")

    def context(self) -> PromotionContext:
        """Store, ledger and leases, without a policy: for reading, training and evaluating."""
        ledger = self.ledger()
        return PromotionContext(self.store(), ledger, self.leases(ledger))
