"""The leaks of a data set of a home: found once, kept beside it under its digest."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.data.leaks.find import find_leaks
from pipelines.data.leaks.report import LeakReport
from registry.errors import InputError
from registry.files import read_json, write_json

_METHOD = 3
"""Goes up whenever the same data set may get another report, so that no older one is taken for it."""


def known_leaks(datasets: DatasetCatalog, data: DataSet) -> LeakReport:
    """The report of a data set whose bytes were verified: the kept one, or a new one.

    That is kept from then on, if the data set is.
    """
    path, digest = datasets.leaks(data.manifest.digest), data.manifest.digest
    with suppress(InputError, ValidationError, ValueError, OSError):
        match read_json(path):
            case {"method": method, "report": report} if method == _METHOD:
                kept = LeakReport.model_validate(report)
                if kept.dataset == digest:
                    return kept
    report = find_leaks(data)
    document: dict[str, Any] = {"method": _METHOD, "report": report.model_dump(mode="json")}
    if datasets.manifest(digest) is not None:  # beside one that is not kept, `clean` would never find it
        write_json(path, document)
    return report
