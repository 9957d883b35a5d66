"""Scanning a folder of model files for pickles, with picklescan. What was found is judged by the `safety` gate.

picklescan parses opcodes apart from a machine, and the two differ both ways: one weights file in a hundred begins with bytes
that end its parser (`0x93` imports what an empty stack names), and a number such as `0x1` ends it where `pickle.load` goes on
to what follows. So Python's own machine has the last word on what a file would import, with nothing that it could import.
"""

from __future__ import annotations

import io
import logging
import mmap
import pickle
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from picklescan.scanner import ScanResult, scan_file_path, scan_zip_bytes

from registry.records import Scan

SCANNER = f"picklescan {version('picklescan')}"
_ZIP = b"PK\x03\x04"
_ARCHIVES_AND_ARRAYS = (_ZIP, b"7z\xbc\xaf\x27\x1c", b"\x93NUMPY")
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
    except Exception as error:  # noqa: BLE001 - the file chooses which parser breaks, and how
        result = ScanResult([], issues_count=1)
        logger.info("%s could not read %s: %s", SCANNER, path.name, str(error) or type(error).__name__)
    if _is_archive_or_array(path) or any("unknown" not in (named.module, named.name) for named in result.globals):
        return result
    return ScanResult([], issues_count=int(_would_import(path)))


def _is_archive_or_array(path: Path) -> bool:
    """Whether a pickle within would start elsewhere than at byte 0: only picklescan looks there."""
    with path.open("rb") as file:
        return file.read(8).startswith(_ARCHIVES_AND_ARRAYS) or zipfile.is_zipfile(file)


class _ImportError(Exception):
    """The pickle asks for an import."""


class _NoImports(pickle._Unpickler):  # noqa: SLF001 - the one in C keeps its memo in an array as long as the file says
    """Python's own machine, ended where it would import: until then, a pickle can only make strings, numbers and lists."""

    stack: list[object]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[object]]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # noqa: SLF001

    def find_class(self, module: str, name: str) -> None:
        raise _ImportError(module, name)

    def persistent_load(self, pid: object) -> None:
        """What PyTorch would read from elsewhere in the file."""

    def _of_mark(self, made: type) -> None:
        """No dict and no set is filled: hashing a tuple of tuples of tuples takes time that doubles with each."""
        self.pop_mark()
        self.append(made())

    def _filled(self) -> None:
        self.pop_mark()

    def _filled_with_one(self) -> None:
        del self.stack[-2:]

    dispatch[pickle.DICT[0]] = partial(_of_mark, made=dict)
    dispatch[pickle.FROZENSET[0]] = partial(_of_mark, made=frozenset)
    dispatch[pickle.SETITEMS[0]] = dispatch[pickle.ADDITEMS[0]] = _filled
    dispatch[pickle.SETITEM[0]] = _filled_with_one


def _would_import(path: Path) -> bool:
    """Whether `pickle.load`, called on the file as often as it succeeds, comes to an import before the bytes break it."""
    if not path.stat().st_size:
        return False
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file:
        try:
            while file.tell() < file.size():
                _NoImports(file).load()  # of a map, which reads what is there: a length of 2**60 costs no memory
        except _ImportError:
            return True
        except Exception:  # noqa: BLE001 - no pickle, or none any more
            return False
    return False


def _issues_inside(path: Path) -> int:
    """What the scanner finds in archives within an archive, such as the tensors in a torch.export program."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        inner = [data for name in archive.namelist() if (data := archive.read(name)).startswith(_ZIP)]
    return sum(scan_zip_bytes(io.BytesIO(data), path.name).issues_count for data in inner)
