"""Stages and the moves between them.

A stage is an MLflow alias (`staging`, `production`); MLflow's own stages are deprecated. A version that
holds neither is `none`, or `archived` once it has held one.
"""

from __future__ import annotations

import re
import unicodedata
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

_ALIKE = {
    letter: plain
    for plain, letters in {
        "a": "\u0251\u03b1\u237a\uff41@4",
        "c": "\u0441\u03f2\u03f9\u03c2\u2ca5\U0001043d",
        "d": "\u0501\u13e7\u146f\ua4d3",
        "g": "\u0261\u050d\u0581\u01e59",
        "i": "l1|!\u03b9\u0456\u04cf\u0269\u13a5\u05d5\u05df\u0627\u2223\ua647",
        "n": "\u0578\u057c\u03b7\u043f",
        "o": "0\u03bf\u03c3\u0585\u0ae6\u0d20\u101d\u1d0f\u0e50\u3007\u05e1",
        "p": "\u03c1\u0440\u2ca3\u03f1",
        "r": "\u0433\u1d26\u2c85\uab47\u0280",
        "s": "5$\u0455\u13da\ua731\u01bd\U00010448",
        "t": "7+\u03c4\u0442\u13a2",
        "u": "v\u03c5\u057d\u028b\u1d1c\U000104f6",
    }.items()
    for letter in letters
}
_LETTER = re.compile(r"(?:LATIN|CYRILLIC|INDICATOR SYMBOL|SQUARED|CIRCLED)\b.*\b([A-Z])(?: WITH .*)?$")


T = TypeVar("T")


def resembled(alias: str) -> Stage | None:
    """The stage that an alias reads like: the stage's own name, or one that an eye takes for it.

    Other case, full width and other forms of a letter, accents, what has no width, dashes and blanks count for nothing; a
    letter of another alphabet, a digit or a sign counts as the Latin letter that it looks like. Not a complete list of
    what looks alike in Unicode: enough for the twelve letters of which our stages are made.
    """
    seen = _skeleton(alias)  # before any normal form: that of some letters is another letter
    plain = "".join(map(_plain_letter, unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", seen).casefold())))
    return next((stage for stage in ALIASES if plain == _skeleton(stage)), None)


def _skeleton(name: str) -> str:
    return "".join(_ALIKE.get(letter, letter) for letter in name)


def _plain_letter(letter: str) -> str:
    """The Latin letter that a character looks like; nothing for what shows no letter at all."""
    if letter in _ALIKE:
        return _ALIKE[letter]
    if letter.isascii():
        return letter if letter.isalnum() else ""
    if unicodedata.category(letter)[0] in "CMPZ":
        return ""
    match = _LETTER.search(unicodedata.name(letter, ""))
    shown = match[1].lower() if match else letter
    return _ALIKE.get(shown, shown)


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
