"""The table that data checks look at: one row a frame, with what can be measured of its picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import pandas as pd


@dataclass(frozen=True, slots=True)
class CheckedFrame:
    """What a data set says of one frame, and where its picture lies."""

    path: Path
    sha256: str
    clip: str
    clip_sha256: str
    label: str
    split: str


def frame_table(frames: Iterable[CheckedFrame]) -> pd.DataFrame:
    """One row a frame: identity, shape, brightness (0..255), sharpness (variance of the Laplacian), and counts.

    `splits_of_clip` is how many splits the frame's clip appears in, by name or by the clip's bytes, whichever is
    more; `splits_of_frame` the same for the very same picture. More than one is leakage.
    """
    table = pd.DataFrame([_measure(frame) for frame in frames])
    by_name = table.groupby("clip")["split"].transform("nunique")
    by_bytes = table.groupby("clip_sha256")["split"].transform("nunique")
    table["splits_of_clip"] = pd.concat([by_name, by_bytes], axis=1).max(axis=1)
    table["splits_of_frame"] = table.groupby("sha256")["split"].transform("nunique")
    table["labels_of_frame"] = table.groupby("sha256")["label"].transform("nunique")
    table["clips_of_class_in_split"] = table.groupby(["label", "split"])["clip"].transform("nunique")
    return table


def _measure(frame: CheckedFrame) -> dict[str, object]:
    """One row."""
    grey = cv2.imread(str(frame.path), cv2.IMREAD_GRAYSCALE)
    row: dict[str, object] = {
        "sha256": frame.sha256,
        "clip": frame.clip,
        "clip_sha256": frame.clip_sha256,
        "label": frame.label,
        "split": frame.split,
        "file": frame.path.name,
    }
    if grey is None:
        return row | {"width": None, "height": None, "brightness": None, "sharpness": None}
    height, width = grey.shape
    sharpness = float(cv2.Laplacian(grey, cv2.CV_64F).var())
    return row | {"width": width, "height": height, "brightness": float(grey.mean()), "sharpness": sharpness}
