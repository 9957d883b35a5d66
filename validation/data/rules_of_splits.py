"""Rules about what belongs where: pictures that can be read, classes, splits, copies."""

from __future__ import annotations

import pandas as pd

from validation.data.rule import Rule, such_as
from validation.data.table import CheckedData
from validation.data.words import counted, listed, name_of

SPLITS = ("train", "val", "test")
_SMALLEST = 32


def _unreadable(data: CheckedData) -> pd.Series:
    return data.frames["brightness"].isna().astype(float)


def _shorter_side(data: CheckedData) -> pd.Series:
    return data.frames[["width", "height"]].apply(pd.to_numeric, errors="coerce").min(axis=1)


def _too_small(_: CheckedData, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    size = f" ({first['width']:g} x {first['height']:g})"
    text = such_as(rows, f"is smaller than {_SMALLEST} pixels", f"are smaller than {_SMALLEST} pixels")
    return f"{text}{size}: leave them out, or take them from larger originals"


def _unknown_labels(data: CheckedData) -> pd.Series:
    return _per_frame(data, ~data.examples["label"].isin(data.labels))


def _per_frame(data: CheckedData, flags: pd.Series) -> pd.Series:
    """How many of a picture's examples are flagged."""
    return flags.groupby(data.examples["frame"]).sum().reindex(data.frames.index, fill_value=0).astype(float)


def _says_unknown(data: CheckedData, rows: pd.DataFrame) -> str:
    examples = data.examples[data.examples["frame"].isin(rows.index)]
    unknown = listed(sorted({f"'{label}'" for label in examples["label"] if label not in data.labels}))
    text = such_as(rows, f"has the label {unknown}", f"have the labels {unknown}")
    return f"{text}; the classes are {listed(data.labels)}: correct the labels and make the data set again"


def _empty_classes(data: CheckedData) -> list[str]:
    have = set(data.examples["label"])
    return [label for label in data.labels if label not in have]


def _says_empty(data: CheckedData, _: pd.DataFrame) -> str:
    empty = _empty_classes(data)
    what = "pictures" if data.task == "classify" else "boxes"
    subject = f"class {name_of(empty[0])} has" if len(empty) == 1 else f"classes {listed(empty)} have"
    add = "film or add some" if data.task == "classify" else "label some"
    return f"{subject} no {what}: {add}, or remove the class"


def _says_wrong_split(_: CheckedData, rows: pd.DataFrame) -> str:
    names = listed(sorted({f"'{split}'" for split in rows["split"]}))
    text = such_as(rows, f"is in split {names}", f"are in splits {names}")
    return f"{text}; the splits are {listed(SPLITS)}: make the data set again"


def _splits_of_clip(data: CheckedData) -> pd.Series:
    """In how many splits a clip is, by its name or by its bytes, whichever is more."""
    by_name = data.frames.groupby("clip")["split"].transform("nunique")
    by_bytes = data.frames.groupby("clip_sha256")["split"].transform("nunique")
    return pd.concat([by_name, by_bytes], axis=1).max(axis=1).astype(float)


def _says_clips(data: CheckedData, rows: pd.DataFrame) -> str:
    names = sorted({str(name) for name in rows["clip"]})
    where = "is in more than one split" if len(names) == 1 else "are in more than one split"
    text = f"{counted(len(names), data.members)} {where}, by name or by content: {listed(names)}"
    return f"{text}: keep each in one split, or remove the copy, then make the data set again"


def _splits_of_picture(data: CheckedData) -> pd.Series:
    return data.frames.groupby("sha256")["split"].transform("nunique").astype(float)


def _labels_of_picture(data: CheckedData) -> pd.Series:
    """How many different labels the same bytes have: classes, or sets of boxes."""
    if data.task == "classify":
        return data.frames.groupby("sha256")["label"].transform("nunique").astype(float)
    boxes = data.boxes.round(4).apply(lambda row: str(tuple(row)[1:]), axis=1) if len(data.boxes) else pd.Series(dtype=str)
    sets = boxes.groupby(data.boxes["frame"]).apply(lambda texts: " ".join(sorted(texts)))
    labels = sets.reindex(data.frames.index, fill_value="")
    return labels.groupby(data.frames["sha256"]).transform("nunique").astype(float)


def _says_conflict(data: CheckedData, rows: pd.DataFrame) -> str:
    text = such_as(rows, "has a copy with another label", "have a copy with another label")
    copies = rows[rows["sha256"] == rows["sha256"].iloc[0]]
    both = f" ({listed(sorted({str(label) for label in copies['label']}))})" if data.task == "classify" else ""
    return f"{text}{both}: decide which label is right and remove the other copy"


def _copies(data: CheckedData) -> pd.Series:
    """How often a picture is there with the same label in the same split; elsewhere it is an error of another name."""
    return data.frames.groupby(["sha256", "split", "label"])["file"].transform("count").astype(float)


RULES = (
    Rule(
        "readable",
        _unreadable,
        lambda _: "every picture can be read",
        lambda _, rows: (
            such_as(rows, "cannot be read", "cannot be read") + ": replace them or leave them out, and make the data set again"
        ),
        most=0,
    ),
    Rule(
        "size",
        _shorter_side,
        lambda _: f"every picture is at least {_SMALLEST} pixels wide and high",
        _too_small,
        least=_SMALLEST,
    ),
    Rule(
        "class-known",
        _unknown_labels,
        lambda data: f"every label is one of the classes {listed(data.labels)}",
        _says_unknown,
        most=0,
    ),
    Rule(
        "class-empty",
        lambda data: pd.Series(float(len(_empty_classes(data))), index=data.frames.index),
        lambda data: f"every class has {'pictures' if data.task == 'classify' else 'boxes'}",
        _says_empty,
        most=0,
        whole=True,
    ),
    Rule(
        "split-known",
        lambda data: (~data.frames["split"].isin(SPLITS)).astype(float),
        lambda _: f"every picture is in one of the splits {listed(SPLITS)}",
        _says_wrong_split,
        most=0,
    ),
    Rule("clip-leak", _splits_of_clip, lambda data: f"no {data.members} is in more than one split", _says_clips, most=1),
    Rule(
        "copies-across-splits",
        _splits_of_picture,
        lambda _: "no picture has a copy in another split",
        lambda _, rows: (
            such_as(rows, "has a copy in another split", "have a copy in another split")
            + ": remove the copies, since a test with them asks for what was learned by heart"
        ),
        most=1,
    ),
    Rule("label-conflict", _labels_of_picture, lambda _: "no picture has more than one label", _says_conflict, most=1),
    Rule(
        "duplicates",
        _copies,
        lambda _: "no picture is there twice",
        lambda _, rows: (
            such_as(rows, "is there more than once", "are there more than once")
            + ": remove the copies, since each counts again in training and in scores"
        ),
        most=1,
    ),
)
