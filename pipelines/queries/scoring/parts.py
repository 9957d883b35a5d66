"""What an interrupted run leaves for the next: answers in parts beside the output, each finished when its index is there.

<.answers.csv.parts>/plan.json       what is scored with what: the bundle, and frames a second
                     00000007.rows   answers, one JSON line each
                     00000007.json   which files they are about; written last, so a part without it is no part
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from pipelines.queries.scoring.records import ScoredFile, SourceFile
from registry.errors import BusyError, DamagedFileError, MissingFileError
from registry.files import read_json, read_record, storing, write_atomic, write_json
from registry.lease import locked_folder
from registry.records import Record


class Plan(Record):
    """What answers depend on besides the files: others are of no use to a run."""

    bundle: str
    fps: float


class _Index(Record):
    files: list[ScoredFile]


class _Located(NamedTuple):
    rows: Path
    entry: ScoredFile


class Parts:
    """The parts folder of one output file, which one process at a time works on."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """What an earlier run of the same plan has finished is kept; what another plan left is removed."""
        self.folder, self._known = folder, dict[str, _Located]()
        self._next = 0
        if not self._has(plan):
            _empty(folder)
            write_json(folder / "plan.json", plan.model_dump(mode="json"))
        for path in sorted(folder.glob("*.json")):
            if path.stem.isdecimal():
                self._take(path)
        for path in folder.glob("*.rows"):
            if not path.with_suffix(".json").exists():
                path.unlink()

    @property
    def next_number(self) -> int:
        """The number of the next part."""
        return self._next

    def finished(self, file: SourceFile) -> bool:
        """Whether a file was scored as it is now. One that could not be read is tried again."""
        known = self._known.get(file.file)
        stamp = (file.size, file.mtime_ns)
        return bool(known) and (known.entry.size, known.entry.mtime_ns) == stamp and not known.entry.error

    def rows_path(self, number: int) -> Path:
        """Where a part's answers are written."""
        return self.folder / f"{number:08d}.rows"

    def finish(self, number: int, files: Sequence[ScoredFile]) -> None:
        """A part is whole: its index is written."""
        path = self.rows_path(number)
        write_json(path.with_suffix(".json"), _Index(files=list(files)).model_dump(mode="json"))
        self._known |= {entry.file: _Located(path, entry) for entry in files}

    def add(self, number: int, rows: bytes, files: Sequence[ScoredFile]) -> None:
        """A part that another process has made."""
        write_atomic(self.rows_path(number), rows)
        self.finish(number, files)

    def entries(self, files: Iterable[SourceFile]) -> Iterator[ScoredFile]:
        """What became of each file, in the order of the files."""
        return (self._known[file.file].entry for file in files if file.file in self._known)

    def lines(self, files: Iterable[SourceFile]) -> Iterator[bytes]:
        """Every answer as its line of JSON, in the order of the files; one part is open at a time."""
        opened: tuple[Path, Iterator[bytes]] | None = None
        handle = None
        try:
            for file in files:
                located = self._known.get(file.file)
                if located is None or not located.entry.rows:
                    continue
                if opened is None or opened[0] != located.rows:
                    if handle:
                        handle.close()
                    handle = located.rows.open("rb")
                    opened = located.rows, iter(handle.readline, b"")
                assert handle is not None  # noqa: S101 it was opened with `opened`
                handle.seek(located.entry.start)
                for _ in range(located.entry.rows):
                    yield handle.readline()
        finally:
            if handle:
                handle.close()

    def _has(self, plan: Plan) -> bool:
        try:
            return read_record(self.folder / "plan.json", Plan, "a plan of `modelyard score`") == plan
        except (MissingFileError, DamagedFileError):
            return False

    def _take(self, path: Path) -> None:
        """A part that an earlier run has finished. One that is damaged is scored again."""
        self._next = max(self._next, int(path.stem) + 1)
        try:
            files = _Index.model_validate(read_json(path)).files
            size = path.with_suffix(".rows").stat().st_size
        except (DamagedFileError, MissingFileError, ValidationError, OSError):
            path.unlink(missing_ok=True)
            return
        if any(entry.start + entry.length > size for entry in files):
            path.unlink()
            return
        self._known |= {entry.file: _Located(path.with_suffix(".rows"), entry) for entry in files}


@contextmanager
def parts_of(out: Path, plan: Plan) -> Generator[Parts]:
    """The parts beside an output file. They stay until `remove_parts`. Raises BusyError where another process writes it."""
    folder = out.parent / f".{out.name}.parts"
    with storing(folder):
        folder.mkdir(exist_ok=True)
        with locked_folder(folder, BusyError(out, "another process scores into it now", "wait for it, or name another file")):
            yield Parts(folder, plan)


def remove_parts(parts: Parts) -> None:
    """Remove what is no longer needed, because the output is whole."""
    shutil.rmtree(parts.folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
