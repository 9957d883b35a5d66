"""The checks of a data set by name: what each asks for, how much it weighs, and why not to silence it.

A check weighs `strict` (where it fails, training stops, except for leaks), `warn` (it is said) or `off` (it is not made). Each
has a weight of its own; a job file may give it another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal, cast, get_args

Level = Literal["strict", "warn", "off"]
LEVELS: tuple[Level, ...] = get_args(Level)
DEFAULT = "default"
"""The key of a mapping that speaks for all checks that it does not name."""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """One check. `asks`: what a data set is that passes; `why`: what goes wrong in silence without it."""

    name: str
    level: Level
    asks: str
    why: str
    tasks: tuple[str, ...] = ("classify", "detect")


_DETECT = ("detect",)
_ALL = (
    DataCheck("readable", "strict", "every picture can be decoded", "training stops at it, or leaves it out unsaid"),
    DataCheck("size", "strict", "every picture is at least 32 pixels wide and high", "scaled up, it shows the network blocks"),
    DataCheck(
        "class-known", "strict", "every label is a class of the data set", "the label has no output to be learned by"
    ),
    DataCheck("class-empty", "strict", "every class has pictures", "the network has an output that it never learns"),
    DataCheck("split-known", "strict", "every picture is in train, val or test", "it is neither learned from nor measured"),
    DataCheck(
        "clip-leak", "strict", "no clip is in two splits, by name or by bytes", "the test asks for what was learned by heart"
    ),
    DataCheck(
        "copies-across-splits", "strict", "no picture has a copy in another split", "each copy in test counts as right"
    ),
    DataCheck(
        "label-conflict", "strict", "no picture has a copy with another label", "one of the two labels is wrong"
    ),
    DataCheck(
        "leaks", "strict", "no held-out picture is given away by an earlier split: by pixels, scene, clip, name or time",
        "the score is that of pictures that were as good as seen",
    ),
    DataCheck("boxes-outside", "strict", "every box lies in its picture", "trainers clip it or leave it out, each otherwise",
              _DETECT),
    DataCheck("boxes-zero-area", "strict", "every box has an area", "it can be neither learned nor found", _DETECT),
    DataCheck(
        "too-dark", "warn", "at most 2% of the pictures are too dark to see anything", "the network learns its noise as a class"
    ),
    DataCheck("over-exposed", "warn", "at most 2% of the pictures are washed out", "what tells classes apart is not in them"),
    DataCheck("single-colour", "warn", "no picture is of a single colour", "a covered lens or a failed export has a label"),
    DataCheck(
        "blur",
        "warn",
        "at most 10% of the pictures, and half of a clip, are blurred",
        "a blurred clip makes blur the mark of its class"
    ),
    DataCheck(
        "clips-per-split", "warn", "every class has 3 clips in each split", "one clip's room and person stand for the class"
    ),
    DataCheck("test-size", "warn", "val and test have 30 pictures each", "one picture more or less moves the score by points"),
    DataCheck("duplicates", "warn", "no picture is there twice", "it counts twice in training and in every score"),
    DataCheck(
        "class-imbalance",
        "warn",
        "no class has 4 times as many examples as another",
        "the rare class is missed and the score hides it"
    ),
    DataCheck(
        "val-far-from-train", "warn", "val and test look like train: light, colour, sharpness, shape",
        "the score says how it does elsewhere, or that one split went wrong",
    ),
    DataCheck("mixed-sizes", "warn", "pictures have similar sizes and shapes", "scaled to one size, things change their shape"),
    DataCheck("class-names", "warn", "class names suit every place they go to", "a table, a file or a tag shows another name"),
    DataCheck(
        "groups-unknown", "warn", "it is known which pictures belong together", "one person's pictures are in train and in test"
    ),
    DataCheck(
        "leaks-unclear", "warn", "every held-out picture has a background that tells scenes apart", "a leak may be there unseen"
    ),
    DataCheck("tiny-objects", "warn", "at most 10% of the boxes are tiny", "they vanish at the network's input size", _DETECT),
    DataCheck("duplicate-boxes", "warn", "no object has two boxes", "a right answer counts as half right", _DETECT),
    DataCheck(
        "without-boxes", "warn", "at most half of the pictures have no boxes", "unlabelled objects teach the network to miss",
        _DETECT,
    ),
)  # fmt: skip
CHECKS: Mapping[str, DataCheck] = {check.name: check for check in _ALL}
ABOUT_LEAKS = ("leaks", "clip-leak", "copies-across-splits")
"""What `data.leaks: allow` allows: the last two say of two kinds of leaks what `leaks` says of all."""


_PRICED = ("leaks",)
"""Fail, and stop no training unless the job names them: what they are worth is measured on the trained model."""


def check_names(names: Iterable[str]) -> list[str]:
    """The names as they are. Raises ValueError naming an unknown one and what was probably meant."""
    for name in (names := list(names)):
        if name not in CHECKS:
            near = get_close_matches(name, CHECKS, n=1, cutoff=0.4)
            meant = f"did you mean '{near[0]}'?" if near else "`modelyard check --list` shows them"
            raise ValueError(f"there is no data check '{name}'; {meant}")
    return names


@dataclass(frozen=True, slots=True)
class CheckLevels:
    """How much each check weighs. `default`: strict keeps each check's own; warn as well, but stops for named ones only."""

    default: Level = "strict"
    named: Mapping[str, Level] = field(default_factory=dict[str, Level])

    def of(self, name: str) -> Level:
        """The weight of a check."""
        return self.named.get(name) or ("off" if self.default == "off" else CHECKS[name].level)

    def fails(self, name: str) -> bool:
        """Whether `check` exits with 1 where this check fails."""
        return self.of(name) == "strict" and (name in self.named or self.default == "strict")

    def stops(self, name: str) -> bool:
        """Whether nothing is trained where this check fails. Leaks stop it only by name: a trained model tells their price."""
        return self.fails(name) and (name in self.named or name not in _PRICED)

    def only(self, names: Iterable[str]) -> CheckLevels:
        """The same, where nothing but these is checked; what is off is made all the same, since it was asked for."""
        chosen = dict[str, Level]()
        for name in names:
            level = self.of(name)
            chosen[name] = CHECKS[name].level if level == "off" else level
        return CheckLevels("off", chosen)

    def lower(self, name: str) -> CheckLevels:
        """The same, where a check that would stop only warns."""
        return CheckLevels(self.default, {**self.named, name: "warn"}) if self.of(name) == "strict" else self

    @property
    def off(self) -> list[str]:
        """The checks that are not made."""
        return [name for name in CHECKS if self.of(name) == "off"]

    @property
    def lowered(self) -> list[str]:
        """The checks that would stop training by themselves, and only warn here."""
        return [name for name, check in CHECKS.items() if check.level == "strict" and self.of(name) == "warn"]


def levels_of(checks: Level | Mapping[str, Level]) -> CheckLevels:
    """A job file's word for all checks, or its mapping of names, `default` among them, to words."""
    if isinstance(checks, str):
        return CheckLevels(checks)
    named: dict[str, Level] = {name: level for name, level in checks.items() if name != DEFAULT}
    return CheckLevels(checks.get(DEFAULT, "strict"), named)


def as_levels(value: object) -> object:
    """What a job file says of checks, checked for names. YAML reads `off` as false: it is `off` again.

    Raises ValueError for a name that no check has.
    """
    if value is False:
        return "off"
    if isinstance(value, Mapping):
        words = {str(name): as_levels(word) for name, word in cast("Mapping[object, object]", value).items()}
        check_names(name for name in words if name != DEFAULT)
        return words
    return value
