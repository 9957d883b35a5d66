"""What every trainer asks of a data set before it begins. No framework is imported here."""

from __future__ import annotations

from pathlib import Path

from pipelines.data.dataset import DataSet
from registry.errors import InputError


def check_classes(data: DataSet, folder: Path) -> None:
    """Refuse a class that has no training image: nothing can be learnt of it, however often val and test ask."""
    known = {row.label for row in data.rows("train")}
    if missing := [label for label in data.manifest.labels if label not in known]:
        more = f" and {len(missing) - 1} more classes" if len(missing) > 1 else ""
        raise InputError(folder, f"has no training image of '{missing[0]}'{more}", "add clips of it, or leave the class out")
