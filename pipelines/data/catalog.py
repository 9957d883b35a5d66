"""Which data sets are in a home, by the digest that evidence names them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import DataSet, open_dataset
from registry.errors import NotFoundError
from registry.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class DatasetCatalog:
    """The data sets below a home's `datasets` folder, and those elsewhere that something was trained on."""

    root: Path

    def folder_of(self, model: str) -> Path:
        """Where a model's data set lies unless a command names another folder."""
        return self.root / model

    def add(self, data: DataSet) -> None:
        """Remember where a data set lies, under its digest."""
        write_json(self._note(data.manifest.digest), {"folder": str(data.folder.absolute())})

    def find(self, digest: str, subject: object) -> DataSet:
        """The data set of that digest. Raises NotFoundError about the subject where it is no longer where it was."""
        note = self._note(digest)
        data = open_dataset(Path(read_json(note)["folder"])) if note.exists() else None
        if data is None or data.manifest.digest != digest:
            remedy = "make it again with `modelyard frames`, or train a new version"
            raise NotFoundError(subject, f"the data set it was trained on ({digest[:12]}) is not here any more", remedy)
        return data

    def _note(self, digest: str) -> Path:
        return self.root / "by-digest" / f"{digest}.json"
