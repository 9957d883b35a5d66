"""What is wrong with a class's name at one of the places that it goes to.

A name is a folder of the data set, a tag and a parameter in MLflow, a column of CSV reports, a line of a labels file, a key of
a model's configuration, a word in the metadata that OpenVINO splits at blanks. Nothing here is refused: each place escapes
what it can, and what it cannot changes the name that people see there.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence

_LONGEST = 100
"""Characters, above which tables, tags and file names cut a name."""
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
_NO_NAMES = {"", "nan", "none", "null", "true", "false", "yes", "no", "on", "off", "~"}


def flaws(labels: Sequence[str]) -> list[tuple[str, str]]:
    """(class, what is wrong with its name), one a class."""
    same = _alike(labels)
    return [(label, why) for label in labels if (why := _flaw(label) or same.get(label))]


def _flaw(label: str) -> str | None:
    """The first reason against a name."""
    return next((why for is_so, why in _REASONS if is_so(label)), None)


def _hides_something(label: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in label)


def _is_no_folder(label: str) -> bool:
    return bool(set(label) & set('/\\:*?"<>|')) or label.endswith(".") or label.partition(".")[0].casefold() in _RESERVED


_REASONS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda label: label.strip() != label or not label, "begins or ends with a blank, which tables and labels files cut off"),
    (_hides_something, "has a control or an invisible character, which splits a line or looks like another name"),
    (
        lambda label: len(label) > _LONGEST,
        f"has more than {_LONGEST} characters, after which tables, tags and file names cut it",
    ),
    (_is_no_folder, "cannot be a folder's name on every system (Windows, cloud storage, a zip archive)"),
    (lambda label: label.startswith(("=", "+", "-", "@")), "begins with a character that a spreadsheet takes for a formula"),
    (
        lambda label: bool(set(label) & set(",;")),
        "has a comma or semicolon, which separates names in CSV and in lists of labels",
    ),
    (
        lambda label: label.casefold() in _NO_NAMES,
        "is read as no text at all by YAML or pandas (a truth value or a missing one)",
    ),
)


def _other(group: Sequence[str], label: str) -> str:
    return next(name for name in group if name != label)


def _alike(labels: Sequence[str]) -> dict[str, str]:
    """Names that some places take for one: they differ by capitals, by how accents are encoded, or by blanks."""
    by_form: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        by_form[unicodedata.normalize("NFKC", label).casefold().replace(" ", "_")].append(label)
    return {
        label: f"and '{_other(group, label)}' are one name where capitals, accents or blanks do not count"
        for group in by_form.values()
        if len(set(group)) > 1
        for label in group
    }
