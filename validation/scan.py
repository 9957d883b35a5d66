"""Scanning a folder of model files for pickles, with picklescan. What was found is judged by the `safety` gate."""

from __future__ import annotations

import io
import logging
import zipfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from picklescan.scanner import ScanResult, scan_file_path, scan_zip_bytes

from registry.records import Scan

SCANNER = f"picklescan {version('picklescan')}"
_ZIP = b"PK\x03\x04"
logger = logging.getLogger(__name__)


def scan_folder(folder: Path) -> Scan:
    """Scan every file, whatever its name says it is: a pickle works under any name."""
    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    names = {path: path.relative_to(folder).as_posix() for path in files}
    results = {path: _scan(path) for path in files}
    pickles = [path for path, result in results.items() if result.globals and not _is_prose(path, result)]
    dangerous = [
        path
        for path, result in results.items()
        if result.issues_count or path.is_symlink() or (path in pickles and result.scan_err)
    ]
    return Scan(
        scanner=SCANNER,
        files=len(files),
        formats=dict(sorted(Counter(path.suffix.lower() or path.name for path in files).items())),
        pickles=[names[path] for path in pickles],
        dangerous=[names[path] for path in dangerous],
    )


def _is_prose(path: Path, result: ScanResult) -> bool:
    """Whether the scanner took prose for opcodes: `channels:` starts like protocol 0's GLOBAL, and breaks off soon after.

    Protocol 0 is text as well, and what a broken one names before it breaks would run: `issues_count` still tells.
    """
    if not result.scan_err or result.issues_count:
        return False
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError:
        return False
    return True


def _scan(path: Path) -> ScanResult:
    """What the scanner says of a file. What it stumbles over is an issue; a link leads who knows where, and is not followed."""
    if path.is_symlink() or not path.is_file():
        return ScanResult([])
    try:
        result = scan_file_path(str(path))
        result.issues_count += _issues_inside(path)
        return result  # noqa: TRY300
    except Exception as error:  # noqa: BLE001 - the file chooses which parser breaks, and how
        logger.warning("%s could not read %s: %s", SCANNER, path.name, error)
        return ScanResult([], issues_count=1)


def _issues_inside(path: Path) -> int:
    """What the scanner finds in archives within an archive, such as the tensors in a torch.export program."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        inner = [data for name in archive.namelist() if (data := archive.read(name)).startswith(_ZIP)]
    return sum(scan_zip_bytes(io.BytesIO(data), path.name).issues_count for data in inner)
