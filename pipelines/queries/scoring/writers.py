"""Answers as one file: CSV, JSON lines or Parquet, written beside it and renamed, so that it is whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pipelines.queries.answers import COLUMNS, csv_line
from registry.errors import InputError
from registry.files import storing

SCORE_COLUMNS = tuple(name for name in COLUMNS if name not in {"could_be", "error"})
"""Those of `predict` that need no ledger. What could not be read is in no row."""
_GROUP = 4096
"""Rows of one row group of Parquet."""

Row = dict[str, Any]


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raise InputError for a file that cannot become the output."""
    if out.suffix.lower() not in _WRITERS:
        raise InputError(out, "is no format of answers", f"let its name end in {', '.join(sorted(_WRITERS))}")
    if out.is_dir() or not out.parent.is_dir():
        why = "is a folder" if out.is_dir() else f"its folder {out.parent} does not exist"
        raise InputError(out, why, "name a file in a folder that exists")
    if out.exists() and not overwrite:
        raise InputError(out, "exists already", "name another file, or add --overwrite")


def write_answers(out: Path, lines: Iterable[bytes]) -> int:
    """Write rows, given as lines of JSON, in the format that the file's name asks for. How many they are."""
    counted = _Counted(lines)
    with _beside(out) as file:
        _WRITERS[out.suffix.lower()](file, counted)
    return counted.count


class _Counted:
    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines, self.count = lines, 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.count += 1
            yield line


@contextmanager
def _beside(out: Path) -> Generator[BinaryIO]:
    with storing(out):
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(out)
        finally:
            Path(name).unlink(missing_ok=True)


def _csv(file: BinaryIO, lines: Iterable[bytes]) -> None:
    file.write(f"{csv_line(SCORE_COLUMNS)}\r\n".encode())
    for line in lines:
        row: Row = msgspec.json.decode(line)
        file.write(f"{csv_line(tuple(row[name] for name in SCORE_COLUMNS))}\r\n".encode())


def _jsonl(file: BinaryIO, lines: Iterable[bytes]) -> None:
    file.writelines(lines)


def _parquet(file: BinaryIO, lines: Iterable[bytes]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = _schema(pa)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(lines):
            rows = [row | {"probabilities": list((row["probabilities"] or {}).items())} for row in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _groups(lines: Iterable[bytes]) -> Iterator[list[Row]]:
    group = list[Row]()
    for line in lines:
        group.append(msgspec.json.decode(line))
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group


def _schema(pa: Any) -> Any:
    """Columns by name; probabilities are a map, and boxes have their sides in pixels."""
    text, number = pa.string(), pa.float64()
    box = pa.struct([("label", text), ("score", number), ("box", pa.list_(number))])
    types = {
        "image": text, "frame": pa.int64(), "seconds": number, "label": text, "probability": number,
        "probabilities": pa.map_(text, number), "boxes": pa.list_(box), "served_by": text,
    }  # fmt: skip
    return pa.schema([(name, types[name]) for name in SCORE_COLUMNS])


_WRITERS: dict[str, Callable[[BinaryIO, Iterable[bytes]], None]] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
