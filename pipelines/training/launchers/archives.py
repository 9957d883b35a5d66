"""Folders as one file with a digest, in pieces that survive a lost connection."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.digests import sha256_file
from registry.errors import IntegrityError, shorten
from registry.files import storing

PIECE = 16 * 1024 * 1024
"""Bytes of one request: RunPod's proxy takes some 100 MB and 100 seconds."""


@dataclass(frozen=True)
class Archive:
    """A file and what it must hash to."""

    path: Path
    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> Archive:
        """A file as it is now."""
        return cls(path, sha256_file(path), path.stat().st_size)

    def piece(self, offset: int, size: int = PIECE) -> bytes:
        """Its bytes from there on, `size` at most."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def pack(path: Path, files: Iterable[tuple[str, Path]], texts: Mapping[str, str] | None = None) -> Archive:
    """A tar of files and texts by name. The same content gives the same bytes: no times, no owners, sorted names."""
    with storing(path), tarfile.open(path, "w") as archive:
        for name, source in sorted(files):
            with source.open("rb") as file:
                archive.addfile(_entry(name, source.stat().st_size), file)
        for name, text in sorted((texts or {}).items()):
            archive.addfile(_entry(name, len(text.encode())), io.BytesIO(text.encode()))
    return Archive.of(path)


def pack_folder(path: Path, folder: Path, within: Iterable[Path]) -> Archive:
    """A tar of the regular files of some folders below `folder`."""
    files = [file for part in within for file in sorted(part.rglob("*")) if file.is_file() and not file.is_symlink()]
    return pack(path, [(file.relative_to(folder).as_posix(), file) for file in files])


def unpack(archive: Archive, into: Path) -> None:
    """Write its files below `into`. Raises IntegrityError for other bytes, for links, and for names that lead elsewhere.

    It comes from another machine: nothing in it is opened here, and it is as large as it says.
    """
    if (there := archive.path.stat().st_size) != archive.size or sha256_file(archive.path) != archive.sha256:
        raise IntegrityError(
            archive.path.name, f"came with other bytes than announced ({there} of {archive.size})", "run it again"
        )
    into.mkdir(parents=True, exist_ok=True)
    try:
        with storing(into), tarfile.open(archive.path, "r:") as tar:
            members = tar.getmembers()
            if wrong := [member.name for member in members if not member.isreg() or member.name.startswith("/")]:
                raise IntegrityError(
                    archive.path.name, f"holds what is no file: {shorten(wrong[0], 80)}", "do not use that image"
                )
            tar.extractall(into, members, filter="data")
    except tarfile.TarError as error:
        raise IntegrityError(
            archive.path.name, f"is not an archive of ours ({shorten(error, 120)})", "do not use that image"
        ) from error


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


class Receiver:
    """Takes an archive piece by piece: a piece counts once all of it is here and hashes right."""

    def __init__(self, path: Path) -> None:
        """What an earlier connection brought is kept."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    @property
    def received(self) -> int:
        """Bytes that are here."""
        return self.path.stat().st_size

    def take(self, offset: int, piece: bytes) -> bool:
        """Append a piece; False where it does not begin at the end of what is here (it is here already, or one is missing)."""
        if offset != self.received:
            return False
        with storing(self.path), self.path.open("ab") as file:
            file.write(piece)
        return True
