"""What became of each clip's frames, for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.cli.output import say, table

_MOST_ROWS = 60


def read_sources(folder: Path) -> dict[str, Any]:
    """What a data set's `sources.json` says; nothing where an older release made the data set."""
    from pipelines.data.dataset import SOURCES
    from registry.errors import MissingFileError
    from registry.files import read_json

    try:
        return dict(read_json(folder / SOURCES))
    except MissingFileError:
        return {}


def show_clips(sources: Mapping[str, Any]) -> None:
    """A table of each class and clip: frames that decode, are kept, are dropped and why; warnings on standard error."""
    clips = [clip for clip in sources.get("clips", []) if "decoded" in clip]
    if not clips:
        return
    rows = [row for label in sorted({_label(clip) for clip in clips}) for row in _class(label, clips)]
    left = len(rows) - _MOST_ROWS
    columns = ["class", "clip", "seconds", "frames", "kept", "over the rate", "unchanged", "undecodable", "video"]
    table("clips to frames", columns, rows[:_MOST_ROWS])
    if left > 0:
        print(f"and {left} more in sources.json")
    for warning in sources.get("warnings", []):
        say(f"warning: {warning}")


def _class(label: str, clips: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """A class's clips, and their sum where there are several."""
    mine = [clip for clip in clips if _label(clip) == label]
    rows = [(label, str(clip["clip"]).replace(f"{label}/", "", 1), *_counts([clip]), _video(clip)) for clip in mine]
    return [*rows, (label, f"{len(mine)} clips", *_counts(mine), "")] if len(mine) > 1 else rows


def _label(clip: Mapping[str, Any]) -> str:
    return str(clip.get("label") or str(clip["clip"]).partition("/")[0])


def _counts(clips: list[dict[str, Any]]) -> tuple[object, ...]:
    """Seconds and frames of clips together."""
    sums = [sum(clip[key] for clip in clips) for key in ("decoded", "kept", "by_rate", "unchanged", "undecodable")]
    return (f"{sum(clip['seconds'] for clip in clips):.1f}", *sums)


def _video(clip: Mapping[str, Any]) -> str:
    """What a clip is, in short."""
    turned = ", turned" if clip["turned"] else ""
    return f"{clip['codec']} {clip['width']}x{clip['height']}, {clip['rate']:.1f}/s{turned}"
