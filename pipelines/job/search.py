"""The `search:` section of a job file: what to vary in its trainers, how, and for how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from pipelines.job.trainers import TrainerConfig
from registry.records import Record

WHICH = "which trainer"
"""What a sample calls the index of its trainer, where a job has several."""
Value = bool | int | float | str


class Range(Record):
    """Numbers from `min` to `max`, both included; whole ones where both are written whole."""

    min: int | float
    max: int | float
    log: bool = Field(default=False, description="even by factors instead of by differences")

    @model_validator(mode="after")
    def _goes_up(self) -> Range:
        if self.max <= self.min:
            raise ValueError(f"max {self.max} is not above min {self.min}; swap them, or write a list of values")
        if self.log and self.min <= 0:
            raise ValueError("min must be above 0 with log: true; raise it")
        return self

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.min, int) and isinstance(self.max, int)


class Search(Record):
    """A search by Ray Tune and Optuna. The best trial's settings are then trained as any trainer of the job is."""

    space: dict[str, Range | list[Value]] = Field(
        default={}, description="trainer's key → a list of values, or {min, max, log}; none: the job's trainers are compared"
    )
    trials: int = Field(default=20, ge=1, le=10_000)
    max_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="after which no trial goes on")
    folds: int | None = Field(
        default=None, ge=2, le=50, description="each trial is scored on so many parts of train and val; a clip is in one part"
    )
    metric: str = Field(default="val_top1", description="of each epoch, as the trainer reports it; the highest is best")
    parallel: int = Field(default=0, ge=0, le=1000, description="trials at once; 0: as many as the cluster has room for")
    grace_epochs: int = Field(default=3, ge=1, description="after which ASHA stops the worse half of trials; with folds: folds")
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("space")
    @classmethod
    def _lists_hold_something(cls, value: dict[str, Range | list[Value]]) -> dict[str, Range | list[Value]]:
        for key, choices in value.items():
            if not choices:
                raise ValueError(f"{key}: the list is empty; write the values to try")
        return value


def other_networks(search: Search | None, config: TrainerConfig) -> list[TrainerConfig]:
    """A trainer with each of the architectures that a search varies it by."""
    names = search.space.get("arch", []) if search else []
    return [config.model_copy(update={"arch": str(name)}) for name in names] if isinstance(names, list) else []


def check_space(search: Search, trainers: Sequence[TrainerConfig]) -> None:
    """Raise ValueError for a key or a value that none of a job's trainers takes."""
    known = sorted({key for trainer in trainers for key in type(trainer).model_fields} - {"kind"})
    for key, values in search.space.items():
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.4)
            raise ValueError(f"search.space: no trainer here has '{key}'; {f'did you mean {near[0]}?' if near else known}")
        for value in (values.min, values.max) if isinstance(values, Range) else values:
            if not any(varied(trainer, {key: value}) for trainer in trainers):
                raise ValueError(
                    f"search.space.{key}: no trainer here takes {value!r}; see `modelyard schema` for what it may be"
                )


def varied(trainer: TrainerConfig, values: Mapping[str, Any]) -> TrainerConfig | None:
    """A trainer with other values; None where it does not take them."""
    try:
        return type(trainer).model_validate(trainer.model_dump() | dict(values))
    except ValidationError:
        return None


def sampled_trainer(
    search: Search, trainers: Sequence[TrainerConfig], sampled: Mapping[str, Any]
) -> tuple[TrainerConfig, dict[str, Any]]:
    """The trainer that a sample of the space stands for, and what was varied of it.

    What a trainer does not take stays as the job has it.
    """
    trainer = trainers[int(sampled.get(WHICH, 0))]
    taken = dict[str, Any]()
    for key in search.space:
        if key in sampled and (changed := varied(trainer, {key: sampled[key]})):
            trainer, taken[key] = changed, sampled[key]
    return trainer, taken
