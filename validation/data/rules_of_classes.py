"""Rules about how much there is of what: clips, classes, the test split, groups, and what classes are called."""

from __future__ import annotations

import math

import pandas as pd

from validation.data.class_names import flaws
from validation.data.rule import Rule, everywhere
from validation.data.rules_of_splits import SPLITS
from validation.data.table import CheckedData
from validation.data.words import counted, listed, name_of, plural

_CLIPS, _TEST, _RATIO = 3, 30, 4.0
_SHOWN = 3
"""Classes that a sentence names."""


def _clip_counts(data: CheckedData) -> pd.Series:
    """(class, split) → its clips, for classes that have anything; a split that is not there has none of any."""
    examples = data.examples
    labels = [label for label in data.labels if label in set(examples["label"])]
    counts = examples.groupby(["label", "split"])["clip"].nunique()
    return counts.reindex(pd.MultiIndex.from_product([labels, SPLITS]), fill_value=0)


def _fewest_clips(data: CheckedData) -> pd.Series:
    counts = _clip_counts(data)
    return everywhere(data, float(counts.min()) if len(counts) else math.nan)


def _says_few_clips(data: CheckedData, _: pd.DataFrame) -> str:
    counts = _clip_counts(data)
    few = [(str(key[0]), str(key[1]), int(count)) for key, count in counts[counts < _CLIPS].items()]  # pyright: ignore[reportIndexIssue]
    texts = [f"class {name_of(label)} has {counted(count, data.members)} in {split}" for label, split, count in few[:_SHOWN]]
    texts += [f"and so on for {len(few) - _SHOWN} more"] if len(few) > _SHOWN else []
    label = few[0][0]
    total = int(counts[label].sum())
    wanted = {split: _missing(data.shares.get(split, 0), total, count) for name, split, count in few if name == label}
    split, more = max(wanted.items(), key=lambda item: item[1])  # as many as the split that lacks most
    remedy = f"{data.adding} {more} more of {name_of(label)}"
    if data.shares.get(split):
        remedy += f" ({total + more} in all, of which {split} takes {data.shares[split]:g})"
    return f"{', '.join(texts)}; {_CLIPS} are wanted: {remedy}"


def _missing(share: float, total: int, count: int) -> int:
    """How many clips more a class needs so that a split, which takes this share of them, has three."""
    return max(_CLIPS - count, math.ceil((_CLIPS - 0.5) / share) - total if share else 0)


def _split_sizes(data: CheckedData) -> dict[str, int]:
    counts = data.frames["split"].value_counts()
    return {split: int(counts.get(split, 0)) for split in ("test", "val")}


def _says_small_test(data: CheckedData, _: pd.DataFrame) -> str:
    small = {split: count for split, count in _split_sizes(data).items() if count < _TEST}
    split, count = next(iter(small.items()))
    texts = " and ".join(f"{name} has {counted(number, 'picture')}" for name, number in small.items())
    step = f"one picture more or less moves its score by {100 / count:.0f} points" if count else "nothing is measured on it"
    return f"{texts}; {_TEST} are wanted, or {step}: {data.adding} more, or give {split} a larger share"


def _balance(data: CheckedData) -> tuple[float, str, str, int, str, int]:
    """The worst ratio of two classes in a split: ratio, split, rare class and its count, frequent class and its count.

    A class that a split has not at all is a matter of `clips-per-split`; a split of few examples differs by chance.
    """
    worst = (1.0, "", "", 0, "", 0)
    for split in SPLITS:
        here = data.examples.loc[data.examples["split"] == split, "label"].value_counts()
        if len(here) > 1 and int(here.max()) >= _TEST:
            low, high = int(here.min()), int(here.max())
            worst = max(worst, (high / low, split, str(here.idxmin()), low, str(here.idxmax()), high))
    return worst


def _says_imbalance(data: CheckedData, _: pd.DataFrame) -> str:
    ratio, split, rare, low, frequent, high = _balance(data)
    what = "picture" if data.task == "classify" else "box"
    return (
        f"class {name_of(rare)} has {counted(low, what)} in {split}, class {name_of(frequent)} {high:,} ({ratio:.1f} times as "
        f"many; at most {_RATIO:g}): {data.adding} more of {name_of(rare)}, or keep fewer of {name_of(frequent)}"
    )


def _says_names(data: CheckedData, _: pd.DataFrame) -> str:
    flawed = flaws(data.labels)
    texts = [f"class '{name_of(label)}' {why}" for label, why in flawed[:_SHOWN]]
    more = f" (and {len(flawed) - _SHOWN} more)" if len(flawed) > _SHOWN else ""
    return f"{'; '.join(texts)}{more}: rename the class before it is trained, since its name goes with every version"


def _says_groups(data: CheckedData, _: pd.DataFrame) -> str:
    return (
        f"nothing says which of the {len(data.frames):,} pictures belong together, so those of one person, room or minute may "
        "be in train and in test: name the groups with `--group`, or sort the pictures into one clip or folder each"
    )


RULES = (
    Rule(
        "clips-per-split",
        _fewest_clips,
        lambda data: f"every class has at least {_CLIPS} {plural(data.members)} in each split",
        _says_few_clips,
        least=_CLIPS,
        whole=True,
    ),
    Rule(
        "test-size",
        lambda data: everywhere(data, min(_split_sizes(data).values())),
        lambda _: f"val and test have at least {_TEST} pictures each",
        _says_small_test,
        least=_TEST,
        whole=True,
    ),
    Rule(
        "class-imbalance",
        lambda data: everywhere(data, _balance(data)[0]),
        lambda _: f"in no split has a class more than {_RATIO:g} times as many examples as another",
        _says_imbalance,
        most=_RATIO,
        whole=True,
    ),
    Rule(
        "class-names",
        lambda data: everywhere(data, len(flaws(data.labels))),
        lambda data: f"the names {listed(data.labels)} suit every place that they go to",
        _says_names,
        most=0,
        whole=True,
    ),
    Rule(
        "groups-unknown",
        lambda data: everywhere(data, 0.0 if data.groups_known else 1.0),
        lambda data: f"it is known which pictures belong together: those of one {data.members}",
        _says_groups,
        most=0,
        whole=True,
    ),
)
