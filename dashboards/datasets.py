"""Data sets of this home, read from their manifests, without Streamlit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from dashboards.words import shorten
from registry.digests import canonical, sha256_bytes
from registry.events import DataChecked
from registry.files import read_json
from registry.protocols import Entry
from registry.records import DataVerdict

SPLITS = ("train", "val", "test")


class LocalDataset:
    """A data set on this machine: its folder, its digest as evidence names it, and its frames."""

    def __init__(self, folder: Path) -> None:
        """Read a manifest. Raises ValueError or OSError where there is none."""
        told = read_json(folder / "manifest.json")
        self.folder, self.digest = folder, sha256_bytes(canonical(told))
        self.labels: list[str] = [str(one) for one in told["labels"]]
        self.source: str = str(told["source"])
        self.frames: list[dict[str, Any]] = list(told["frames"])

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    def counts(self) -> pd.DataFrame:
        """Columns class, split, frames, clips."""
        frames = Counter((str(one["label"]), str(one["split"])) for one in self.frames)
        clips = {key: {one["clip"] for one in self.frames if (one["label"], one["split"]) == key} for key in frames}
        rows = [
            (label, split, frames[label, split], len(clips.get((label, split), ())))
            for label in self.labels
            for split in SPLITS
        ]
        return pd.DataFrame(rows, columns=["class", "split", "frames", "clips"])

    def examples(self, split: str, label: str | None, most: int) -> list[tuple[Path, str]]:
        """Frames of different clips, class by class in turn, with their class; those whose files are there."""
        first = {str(one["clip"]): one for one in reversed(self.frames) if one["split"] == split}
        by_label: dict[str, list[dict[str, Any]]] = {name: [] for name in self.labels if label in {None, name}}
        for one in reversed(first.values()):
            by_label.get(str(one["label"]), []).append(one)
        mixed = [one for turn in zip_longest(*by_label.values()) for one in turn if one]
        held = ((self.inside(str(one["file"])), str(one["label"])) for one in mixed)
        return list(islice(((path, name) for path, name in held if path), most))

    def inside(self, file: str) -> Path | None:
        """A frame's file, if it lies within the data set: a manifest is no reason to show any file of this machine."""
        path = (self.folder / file).resolve()
        return path if path.is_relative_to(self.folder.resolve()) and path.is_file() else None


def data_sets(home: Path) -> list[LocalDataset]:
    """Those of a home whose manifest can be read, by name."""
    found = list[LocalDataset]()
    for manifest in sorted((home / "datasets").glob("*/manifest.json")):
        try:
            found.append(LocalDataset(manifest.parent))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def verdicts(entries: Iterable[Entry]) -> dict[str, DataVerdict]:
    """Data set's digest → what the checks said of it last."""
    return {entry.event.verdict.dataset: entry.event.verdict for entry in entries if isinstance(entry.event, DataChecked)}


def checked(home: Path, digest: str) -> dict[str, Any] | None:
    """The newest report of the checks about exactly these frames, as `modelyard check` left it; None where there is none."""
    reports = sorted((home / "reports").glob("*/report.json"), key=lambda path: -path.stat().st_mtime)
    for path in reports:
        try:
            told = read_json(path)
            if told["dataset"] == digest:
                return {"findings": list(told["findings"]), "spread": dict(told["spread"])}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def findings_table(report: dict[str, Any]) -> pd.DataFrame:
    """Columns outcome, finding: what does not hold first."""
    rows = [(str(one.get("outcome", "")), shorten(str(one.get("text", "")), 300)) for one in report["findings"]]
    return pd.DataFrame(rows, columns=["outcome", "finding"])


def spread_table(report: dict[str, Any]) -> pd.DataFrame:
    """Columns what, from, to, frames: how bright and how sharp the frames are."""
    rows = [
        (name, low, high, count)
        for name, spread in report["spread"].items()
        for low, high, count in zip(spread["edges"], spread["edges"][1:], spread["frames"], strict=False)
    ]
    return pd.DataFrame(rows, columns=["what", "from", "to", "frames"])


def of_digest(known: Iterable[LocalDataset], digest: str) -> LocalDataset | None:
    """The data set that evidence names."""
    return next((one for one in known if one.digest == digest), None)


def shares(counts: pd.DataFrame) -> Sequence[str]:
    """What a person should know of the counts: classes that a split lacks, and classes that are much rarer than others."""
    told = [f"Class '{row['class']}' has no frames in {row['split']}." for _, row in counts.iterrows() if row["frames"] == 0]
    sums = counts.groupby("class")["frames"].sum()
    if len(sums) > 1 and sums.min() * 3 < sums.max():
        told.append(f"Class '{sums.idxmin()}' has {sums.min()} frames, and '{sums.idxmax()}' {sums.max()}.")
    return told
