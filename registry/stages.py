"""Stages and the moves between them.

A stage is an MLflow alias (`staging`, `production`); MLflow's own stages are deprecated. A version that
holds neither is `none`, or `archived` once it has held one.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from registry.errors import InputError


class Stage(StrEnum):
    """The stage of a version."""

    NONE = "none"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


ALIASES = (Stage.STAGING, Stage.PRODUCTION)
"""The stages that are MLflow aliases, in the order a version passes them."""

LEGAL_MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.NONE: frozenset({Stage.STAGING, Stage.ARCHIVED}),
    Stage.STAGING: frozenset({Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED}),
    Stage.PRODUCTION: frozenset({Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED}),
    Stage.ARCHIVED: frozenset({Stage.STAGING, Stage.ARCHIVED}),
}


T = TypeVar("T")


def of_stage(stage: Stage, staging: T, production: T) -> T:
    """What belongs to a stage, out of what belongs to each. Raises InputError for whatever is not exactly one of the two."""
    if stage is Stage.STAGING:
        return staging
    if stage is Stage.PRODUCTION:
        return production
    raise InputError(
        f"stage '{stage}'", "is not one that a version is judged for or served at", f"choose {' or '.join(ALIASES)}"
    )


def parse_stage(text: str) -> Stage:
    """The stage of that name, exactly as MLflow's case-sensitive alias spells it."""
    try:
        return Stage(text)
    except ValueError as error:
        names = [stage.value for stage in Stage if stage is not Stage.NONE]
        near = get_close_matches(text.lower(), names, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else "choose one of them"
        raise InputError(f"stage '{text}'", f"expected one of {', '.join(names)}", remedy) from error


def check_alias_stage(stage: Stage) -> Stage:
    """Return a stage that versions are judged for and served at. Raises InputError for any other."""
    return of_stage(stage, Stage.STAGING, Stage.PRODUCTION)


def why_illegal(current: Stage, wanted: Stage) -> str | None:
    """Why a move is not in `LEGAL_MOVES`, or None where it is."""
    if wanted in LEGAL_MOVES[current]:
        return None
    allowed = ", ".join(sorted(LEGAL_MOVES[current]))
    return f"cannot go from '{current}' to '{wanted}' (from here: {allowed})"


def check_move(label: str, current: Stage, wanted: Stage) -> None:
    """Refuse a move that is not legal."""
    if why := why_illegal(current, wanted):
        raise InputError(label, why, f"promote it to '{Stage.STAGING}' first")
