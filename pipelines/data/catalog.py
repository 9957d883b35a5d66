"""Which data sets are in a home, by the digest that evidence names them with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import DataSet, open_dataset
from registry.errors import DamagedFileError, MissingFileError, NotFoundError
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
        folder = self._noted(digest)
        data = open_dataset(folder) if folder else None
        if data is None or data.manifest.digest != digest:
            remedy = "make it again with `modelyard frames`, or train a new version"
            raise NotFoundError(subject, f"the data set it was trained on ({digest[:12]}) is not here any more", remedy)
        return data

    def _noted(self, digest: str) -> Path | None:
        """Where a data set of that digest lay, None where nothing says so. Raises DamagedFileError."""
        remedy = "remove it; `modelyard frames` and `modelyard train` write it again"
        try:
            match read_json(self._note(digest), remedy):
                case {"folder": str(folder)}:
                    return Path(folder)
        except MissingFileError:
            return None
        raise DamagedFileError(self._note(digest), "is damaged: it does not say where the data set is", remedy)

    def _note(self, digest: str) -> Path:
        return self.root / "by-digest" / f"{digest}.json"
