"""The smallest data set: a file of each split, which is no picture."""

from __future__ import annotations

from pathlib import Path

from pipelines.data.dataset import MANIFEST, DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from registry.digests import sha256_bytes
from registry.files import write_json


def make_dataset(folder: Path, seed: int) -> DataSet:
    """Seeds tell data sets apart: their files' names and bytes differ."""
    rows = list[FrameRow]()
    for split in ("train", "val", "test"):
        content = f"{seed} {split}".encode()
        file = folder / split / "red" / f"{seed}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        own = sha256_bytes(content)
        name = file.relative_to(folder).as_posix()
        rows.append(FrameRow(file=name, sha256=own, clip=own, clip_sha256=own, label="red", split=split, width=1, height=1))
    manifest = Manifest(labels=["red"], source="images", split=Split(), frames=rows)
    write_json(folder / MANIFEST, manifest.document())
    return DataSet(folder, manifest)
