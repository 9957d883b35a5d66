"""The versions of a model's data set, as the catalog has them: records, their order, and what names one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pipelines.data.dataset import MANIFEST, FrameRow, Manifest, open_dataset
from registry.errors import InputError, NotFoundError

_SHORT = 12


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model's data set. `folder` is None where its pictures were removed; `made` is ISO 8601, if known."""

    model: str
    manifest: Manifest
    digest: str
    folder: Path | None
    made: str = ""
    settings: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        """MODEL@NUMBER, or the digest's beginning where no model is known."""
        return f"{self.model}@{self.manifest.version}" if self.model else self.digest[:_SHORT]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The versions before the next one, the newest first. `warning`: one line about what could not be read."""

    versions: Sequence[Version]
    warning: str = ""


def slimmed(version: Version, seen: set[tuple[str, str]]) -> Version:
    """A version without the frames of clips that were seen in a newer one; of others one frame each."""
    rows = list[FrameRow]()
    for row in version.manifest.frames:
        if (clip := (row.clip, row.clip_sha256)) not in seen:
            seen.add(clip)
            rows.append(row)
    return replace(version, manifest=version.manifest.model_copy(update={"frames": rows}))


def newest_first(versions: Sequence[Version]) -> list[Version]:
    """By model, then the highest number first, and of equal numbers the one that was made last."""
    by_time = sorted(versions, key=lambda version: version.made, reverse=True)
    return sorted(by_time, key=lambda version: (version.model, -version.manifest.version))


def warning_of(folder: Path, newest: Version | None) -> str:
    """What to say of a folder in which a data set was and cannot be read."""
    try:
        open_dataset(folder)
    except NotFoundError:
        damaged = newest is not None and folder.is_dir() and any(folder.iterdir())
    except InputError:
        damaged = True
    else:
        damaged = False
    if not damaged:
        return ""
    if newest is None:
        return f"{folder / MANIFEST} cannot be read and no version of it is kept: everything is dealt to splits anew"
    what = f"{unit_of(newest.manifest)}s"
    return f"{folder / MANIFEST} cannot be read: {what} keep the splits of {newest.name}, the newest version that is kept"


def unit_of(manifest: Manifest) -> Literal["clip", "image", "group"]:
    """What of a data set is never on two sides of a split."""
    if manifest.source == "clips":
        return "clip"
    return "image" if manifest.groups == "unknown" else "group"


def folder_named(reference: str) -> Path | None:
    """The folder that a reference is, if it is one: it is there, or it is written as a path."""
    path = Path(reference)
    return path if path.is_dir() or len(path.parts) > 1 or reference in {"", ".", ".."} else None


def only_version(reference: str, matching: Sequence[Version], known: Sequence[Version]) -> Version:
    """The version that a reference names. Raises NotFoundError for none, and InputError for several."""
    if len({version.digest for version in matching}) == 1:
        return matching[0]
    if matching:
        several = ", ".join(version.digest[:_SHORT] for version in matching[:5])
        raise InputError(f"data set {reference}", f"could be {len(matching)} ({several})", "name one by its digest")
    names = ", ".join(version.name for version in known[:5])
    expectation = f"there is no such version; there are {names}" if names else "is no data set of this home"
    remedy = "give a folder, MODEL@NUMBER or a digest's first 6 characters or more, as `modelyard data list` shows them"
    raise NotFoundError(f"data set {reference}", expectation, remedy)
