"""Scanning a folder of model files for pickles, with picklescan. What was found is judged by the `safety` gate."""

from __future__ import annotations

import logging
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from picklescan.scanner import ScanResult, scan_file_path

from registry.records import Scan


def scan_folder(folder: Path) -> Scan:
    """Scan every file, whatever its name says it is: a pickle works under any name."""
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    found = {path: _scan(path) for path in files}
    return Scan(
        scanner=f"picklescan {version('picklescan')}",
        files=len(files),
        formats=dict(sorted(Counter(path.suffix.lower() or path.name for path in files).items())),
        pickles=[names[path] for path, result in found.items() if result.globals],
        dangerous=[names[path] for path, result in found.items() if _suspect(path, result)],
    )


def _suspect(path: Path, result: ScanResult) -> bool:
    """Dangerous imports, a pickle that breaks off, or a link that leads who knows where."""
    return bool(result.issues_count or (result.globals and result.scan_err) or path.is_symlink())


def _scan(path: Path) -> ScanResult:
    return scan_file_path(str(path)) if path.is_file() else ScanResult([])
