"""How checks write: names in a row, counts with their nouns, texts that stay short however much fails."""

from __future__ import annotations

from collections.abc import Iterable

from registry.errors import shorten

_MOST_NAMES = 5
_LONGEST_NAME = 60
_HUNDREDTH = 0.01


def name_of(value: object) -> str:
    """A class, clip or file as a sentence shows it: on one line, cut where it is long."""
    return shorten(value, _LONGEST_NAME) or "(without a name)"


def listed(names: Iterable[object]) -> str:
    """Names in a row, the first few where there are many."""
    names = list(names)
    more = len(names) - _MOST_NAMES
    return ", ".join(name_of(name) for name in names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def counted(count: int, noun: str) -> str:
    """`1 clip`, `2 clips`, `2 classes`."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """More than one of it."""
    return noun + ("es" if noun.endswith(("s", "x")) else "s")


def percent(share: float) -> str:
    """A share as people write it: 12 %, and never 0 % of what is there."""
    return f"{share:.0%}" if share >= _HUNDREDTH or share <= 0 else f"{share:.1%}"
