"""How long a training took, by parts, so that the next of its kind can be quoted."""

from __future__ import annotations

from pydantic import Field

from registry.records.base import Record


class Timing(Record):
    """One training's seconds: `fixed_s` whatever the number of epochs, and `epoch_s` for each.

    `where` is where it ran and `recipe` what it was told, without what makes no difference to its pace. `images` were trained
    on. `planned` are the epochs that were planned, 0 where the trainer has none, and `epochs` those that it came to.
    """

    where: str
    recipe: str
    images: int = Field(ge=0)
    planned: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)
    fixed_s: float = Field(ge=0, allow_inf_nan=False)
    epoch_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    unsteady: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="by which share its halves' epochs differed")

    @property
    def share(self) -> float:
        """How much of the planned epochs it came to: 1 where nothing ended it early."""
        return min(1.0, self.epochs / self.planned) if self.planned else 1.0
