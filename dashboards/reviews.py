"""What the review page shows and records, without Streamlit.

This is the only thing on the dashboard that writes: a line in a review's own file, which changes nothing until somebody runs
`modelyard data apply-review`. It does so where the dashboard was started with `--review`, under the name that started it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from dashboards.datasets import LocalDataset, local_datasets
from registry.errors import InputError, shorten
from registry.reports.reviews import REVIEWER, Action, Candidate, Decision, Review, decision_on
from serving.bundle.decode import decode

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SIDE = 720
_COLOUR = "#ff2d55"


def reviewer(host: str | None) -> str:
    """Who decides on a page that was asked for at `host`; nobody where the dashboard was not started for a review.

    Streamlit refuses pages of other sites by their origin, but not a site that lets its own name lead to this machine: under
    another name than the loopback's, nobody decides.
    """
    name = (host or "").rpartition(":")[0] or host
    return os.environ.get(REVIEWER, "") if name in _LOCAL else ""


def reviewable(home: Path) -> dict[str, LocalDataset]:
    """Data sets by name: those of the home's models, and kept ones of which there is a review."""
    datasets = {dataset.name: dataset for dataset in local_datasets(home)}
    known = {dataset.digest for dataset in datasets.values()}
    for folder in sorted((home / "reviews").glob("*/")):
        kept = home / "datasets" / "by-digest" / folder.name
        if folder.name not in known and (kept / "manifest.json").is_file():
            datasets |= _kept(kept)
    return datasets


def _kept(folder: Path) -> dict[str, LocalDataset]:
    try:
        return {folder.name[:12]: LocalDataset(folder)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def undecided(candidates: Sequence[Candidate], decisions: Mapping[str, Decision], later: Collection[str]) -> list[Candidate]:
    """What is still to be decided, those that were put off last."""
    open_ones = [candidate for candidate in candidates if candidate.sha256 not in decisions]
    return sorted(open_ones, key=lambda candidate: candidate.sha256 in later)


def picture_of(dataset: LocalDataset, review: Review, candidate: Candidate) -> Image.Image | None:
    """The picture with its boxes, upright; None where it is not on this machine, or its file lies elsewhere."""
    path = _within(review.pictures, review.folder / candidate.file) if candidate.is_new else dataset.frame_path(candidate.file)
    try:
        image = decode(path.read_bytes(), candidate.file, _SIDE) if path else None
    except (OSError, InputError):
        return None
    if image is None:
        return None
    image.thumbnail((_SIDE, _SIDE))
    pen = ImageDraw.Draw(image)
    for box in candidate.boxes or ():
        corners = (box.left * image.width, box.top * image.height, box.right * image.width, box.bottom * image.height)
        pen.rectangle(corners, outline=_COLOUR, width=3)
    return image


def _within(folder: Path, path: Path) -> Path | None:
    """A file that lies in a folder, so that a forged list shows no other file of this machine."""
    resolved = path.resolve()
    return resolved if resolved.is_relative_to(folder.resolve()) and resolved.is_file() else None


def record(review: Review, candidate: Candidate, action: Action, who: str, label: str = "") -> None:
    """Record a decision; none of nobody."""
    if who:
        review.record([decision_on(candidate, action, who, label)])


def sentence(candidate: Candidate) -> str:
    """What is suggested, and by whom."""
    sure = f"({candidate.by}, {candidate.score:.0%} sure)"
    what = shorten(candidate.suggested, 80)
    if candidate.boxes is not None:
        count = len(candidate.boxes)
        return f"{count} box{'' if count == 1 else 'es'} proposed: {what} {sure}"
    if not candidate.label:
        return f"Proposed: {what} {sure}"
    return f"Labelled {shorten(candidate.label, 80)}, suggested: {what} {sure}"
