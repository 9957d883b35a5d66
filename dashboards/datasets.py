"""Datasets of this home, read from their manifests, without Streamlit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from dashboards.words import escaped
from registry.digests import canonical, sha256_bytes
from registry.errors import shorten
from registry.events import DataChecked
from registry.files import read_json
from registry.measured import leaked_in_words
from registry.protocols import Entry
from registry.records import DataVerdict, Evaluation

SPLITS = ("train", "val", "test")
_DIGEST = re.compile("[0-9a-f]+")
_OUTCOMES = {"holds": "passed", "error": "failed"}
"""What a report's outcomes are called on the page."""


class LocalDataset:
    """A dataset on this machine: its folder, its digest as evidence names it, and its frames."""

    def __init__(self, folder: Path) -> None:
        """Read a manifest. Raises ValueError or OSError where there is none."""
        manifest = read_json(folder / "manifest.json")
        self.folder, self.digest = folder, sha256_bytes(canonical(manifest))
        self.labels: list[str] = [str(label) for label in manifest["labels"]]
        self.source: str = str(manifest["source"])
        self.task: str = str(manifest.get("task", "classify"))
        self.groups_known: bool = manifest.get("groups", "known") == "known"
        self.was_dealt: bool = manifest.get("split_from", "dealt") == "dealt"
        self.version, self.parent = int(manifest.get("version", 1)), str(manifest.get("parent", ""))
        self.frames: list[dict[str, Any]] = list(manifest["frames"])

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def split_in_words(self) -> str:
        """Who split it, and what stays together."""
        if not self.was_dealt:
            return "The split is the one that its source had."
        if not self.groups_known:
            return "Groups are unknown: each image was put into a split by itself."
        member = "clip" if self.source == "clips" else "group"
        return f"Split by {member}: all frames of one {member} are in the same split."

    def counts(self) -> pd.DataFrame:
        """Columns class, split, frames, clips."""
        keys = [(label, str(frame["split"]), str(frame["clip"])) for frame in self.frames for label in labels_of(frame)]
        frames = Counter((label, split) for label, split, _ in keys)
        clips: dict[tuple[str, str], set[str]] = {}
        for label, split, clip in keys:
            clips.setdefault((label, split), set()).add(clip)
        rows = [
            (label, split, frames[label, split], len(clips.get((label, split), ())))
            for label in self.labels
            for split in SPLITS
        ]
        return pd.DataFrame(rows, columns=["class", "split", "frames", "clips"])

    def examples(self, split: str, label: str | None, most: int) -> list[tuple[Path, str]]:
        """Frames of different clips, class by class in turn, with their class; those whose files are there."""
        by_clip = {str(frame["clip"]): frame for frame in reversed(self.frames) if frame["split"] == split}
        by_label: dict[str, list[dict[str, Any]]] = {name: [] for name in self.labels if label in {None, name}}
        for frame in reversed(by_clip.values()):
            chosen = next((name for name in labels_of(frame) if name in by_label), None)
            if chosen is not None:
                by_label[chosen].append(frame)
        mixed = [frame for turn in zip_longest(*by_label.values()) for frame in turn if frame]
        paths = ((self.frame_path(str(frame["file"])), ", ".join(labels_of(frame))) for frame in mixed)
        return list(islice(((path, name) for path, name in paths if path), most))

    def test_images(self) -> frozenset[str]:
        """What tells the images of test apart from others': bytes, class and boxes."""
        kept = ("sha256", "label", "boxes")
        return frozenset(str([frame.get(key) for key in kept]) for frame in self.frames if frame["split"] == "test")

    def frame_path(self, file: str) -> Path | None:
        """A frame's file if it lies within the dataset, so that a forged manifest shows no other file of this machine."""
        path = (self.folder / file).resolve()
        return path if path.is_relative_to(self.folder.resolve()) and path.is_file() else None


def labels_of(frame: dict[str, Any]) -> list[str]:
    """A frame's class; of a detector's frame the classes of its boxes, each once."""
    boxes = frame.get("boxes")
    return [str(frame["label"])] if boxes is None else sorted({str(box["label"]) for box in boxes})


def local_datasets(folder: Path) -> list[LocalDataset]:
    """Those in a folder whose manifest can be read, by name."""
    datasets = (_read(manifest.parent) for manifest in sorted(folder.glob("*/manifest.json")))
    return [dataset for dataset in datasets if dataset]


def find_dataset(root: Path, digest: str) -> LocalDataset | None:
    """The dataset that evidence names, in a home's `datasets`: the one that is kept under its digest, or any other."""
    kept = root / "by-digest"
    if _DIGEST.fullmatch(digest) and (dataset := _read(kept / digest)) and dataset.digest == digest:
        return dataset
    return next((dataset for dataset in (*local_datasets(root), *local_datasets(kept)) if dataset.digest == digest), None)


def _read(folder: Path) -> LocalDataset | None:
    try:
        return LocalDataset(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def test_set_notice(scored: Sequence[tuple[str, Evaluation]], find: Callable[[str], LocalDataset | None]) -> str:
    """A sentence where versions were scored on different test images, or nobody can say; empty where they can be compared."""
    digests = {evaluation.dataset for _, evaluation in scored}
    if len(digests) < 2:  # noqa: PLR2004 two are different
        return ""
    datasets = [find(digest) for digest in digests]
    images = {dataset.test_images() for dataset in datasets if dataset}
    if None not in datasets and len(images) == 1:
        return ""
    first, other = scored[0], next(pair for pair in scored if pair[1].dataset != scored[0][1].dataset)
    command = f"modelyard diff {first[0]} {other[0]}"
    return f"Scored on different test images, so these accuracies cannot be compared; `{command}` compares on common images."


def verdicts(entries: Iterable[Entry]) -> dict[str, DataVerdict]:
    """Dataset's digest → the newest verdict of its checks."""
    return {entry.event.verdict.dataset: entry.event.verdict for entry in entries if isinstance(entry.event, DataChecked)}


def outcome_of(verdict: DataVerdict | None, report: dict[str, Any] | None = None) -> str:
    """What the checks of a dataset came to, in a word or two: for a training, or when `modelyard check` ran them last."""
    if verdict is None:
        return "not run" if report is None else "failed" if failures_of(report) else "passed"
    if not verdict.checked:
        return "off"
    return "passed" if verdict.holds else "failed"


def warnings_of(verdict: DataVerdict | None, report: dict[str, Any] | None) -> list[str]:
    """The warnings that a training on the dataset gave, as Markdown. `report`: it lists the findings itself."""
    if verdict is None:
        return []
    counts = f"Errors: {verdict.errors}. Warnings: {verdict.warnings}. `modelyard check` lists them."
    leaked = leaked_in_words(verdict)
    lines = [
        counts if not report and (verdict.errors or verdict.warnings) else "",
        f"Leaked: {leaked}. The score is not that of new images." if leaked else "",
        escaped(silenced_of(verdict)),
    ]
    return [line for line in lines if line]


def silenced_of(verdict: DataVerdict) -> str:
    """The checks that were not made, or lowered to warnings, when a model was trained on the dataset."""
    parts = {"Checks that are off: ": verdict.off, "Checks lowered to warnings: ": verdict.lowered}
    return " ".join(f"{words}{', '.join(names)}." for words, names in parts.items() if names)


def latest_report(home: Path, digest: str) -> dict[str, Any] | None:
    """The newest report of the checks about exactly these frames, as `modelyard check` left it; None where there is none."""
    paths = sorted((home / "reports").glob("*/report.json"), key=lambda path: -path.stat().st_mtime)
    for path in paths:
        try:
            report = read_json(path)
            if report["dataset"] == digest:
                off, findings = list(report.get("off", ())), list(report["findings"])
                return {"findings": findings, "off": off, "spread": dict(report["spread"]), "folder": path.parent}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def failures_of(report: dict[str, Any] | None) -> list[str]:
    """The sentences of the checks that failed."""
    findings = report["findings"] if report else []
    return [shorten(str(finding.get("text", "")), 400) for finding in findings if finding.get("outcome") == "error"]


def findings_table(report: dict[str, Any]) -> pd.DataFrame:
    """Columns outcome, check, level, finding: errors first, then warnings, then what passed, then the checks that are off.

    A report of an older release names no checks: then there are outcome and finding.
    """
    rows = [
        (
            _OUTCOMES.get(outcome := str(finding.get("outcome", "")), outcome),
            shorten(str(finding.get("check", "")), 60),
            shorten(str(finding.get("level", "")), 60),
            shorten(str(finding.get("text", "")), 300),
        )
        for finding in report["findings"]
    ]
    rows += [("not made", shorten(str(name), 60), "off", "") for name in report["off"]]
    table = pd.DataFrame(rows, columns=["outcome", "check", "level", "finding"])
    return table if any(table["check"]) else table[["outcome", "finding"]]


def report_pictures(report: dict[str, Any], part: str) -> dict[str, Path]:
    """The pictures of a part of a report, `sheets` or `leaks`: name → file; none of a report of an older release."""
    names = SPLITS if part == "sheets" else [path.stem for path in sorted((report["folder"] / part).glob("*.png"))]
    paths = {name: report["folder"] / part / f"{name}.png" for name in names}
    return {name: path for name, path in paths.items() if path.is_file() and not path.is_symlink()}


def histogram_table(report: dict[str, Any]) -> pd.DataFrame:
    """Columns what, from, to, frames: how bright and how sharp the frames are."""
    rows = [
        (name, low, high, count)
        for name, spread in report["spread"].items()
        for low, high, count in zip(spread["edges"], spread["edges"][1:], spread["frames"], strict=False)
    ]
    return pd.DataFrame(rows, columns=["what", "from", "to", "frames"])


def imbalances(counts: pd.DataFrame) -> Sequence[str]:
    """What a person should know of the counts: classes that a split lacks, and classes that are much rarer than others."""
    lines = [f"Class '{row['class']}' has no frames in {row['split']}." for _, row in counts.iterrows() if row["frames"] == 0]
    sums = counts.groupby("class")["frames"].sum()
    if len(sums) > 1 and sums.min() * 3 < sums.max():
        lines.append(f"Class '{sums.idxmin()}' has {sums.min()} frames, but '{sums.idxmax()}' has {sums.max()}.")
    return lines
