"""What a deployment would cost: by its own target, else by the prices that this home knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.deployment.targets import Targets
from pipelines.job.deploys import LocalDeploy
from pipelines.money.prices import prices
from registry.errors import DeniedError, InputError, UnavailableError
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.runpod.config import RunPodDeploy

if TYPE_CHECKING:
    from pipelines.job.deploys import AnyDeploy
    from registry.errors import ModelyardError
    from serving.targets.contract import Quote


@dataclass(frozen=True)
class Quoter:
    """Quotes deployments, each by one price: the target's own of now, else the newest of the home's catalogue.

    Without `asks` no provider is asked, which a server in the middle of a request must not do.
    """

    targets: Targets
    asks: bool = True

    def quote(self, config: AnyDeploy) -> Quote:
        """The cost of an endpoint created now.

        Raises InputError for hardware without a price, UnavailableError for another package's target that is not asked.
        """
        if isinstance(config, LocalDeploy):
            return self.targets.build(config).quote()
        if not self.asks:
            return self._known(config, UnavailableError(config.kind, "is not asked here", "run `modelyard gates`"))
        try:
            return self.targets.build(config).quote()
        except (DeniedError, UnavailableError) as error:
            return self._known(config, error)

    def _known(self, config: AnyDeploy, trouble: ModelyardError) -> Quote:
        """By the home's catalogue, saying why; another package's prices are known to its target alone."""
        from serving.targets.huggingface.quote import catalogue_quote as of_huggingface
        from serving.targets.runpod.quote import catalogue_quote as of_runpod

        known, why = prices(self.targets.settings), f"{config.kind} was not asked: {trouble.subject} {trouble.expectation}"
        try:
            if isinstance(config, RunPodDeploy):
                quote = of_runpod(known, config)
            elif isinstance(config, HuggingFaceDeploy):
                quote = of_huggingface(known, config)
            else:
                raise trouble
        except InputError as error:
            raise InputError(error.subject, f"{error.expectation}; {why}", error.remedy) from error
        return quote.model_copy(update={"notes": (*quote.notes, why)})
