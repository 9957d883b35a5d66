"""Pictures of any layout as a source: what cannot be decoded is listed and left out, or refused where that is asked."""

from __future__ import annotations

import io
import re
import struct
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from pipelines.data.dataset import Progress
from pipelines.data.importing.folders import describe_splits
from pipelines.data.importing.layout import Entry, Layout, UnreadableError
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.source import Member, Picture, file_name
from pipelines.data.sources import check_number_of_classes, printable
from registry.digests import sha256_bytes
from registry.errors import InputError
from serving.bundle.image_header import BrokenImageError, read_header
from serving.bundle.preprocess import decode

MAX_BYTES = 256_000_000
"""A file that is larger holds no picture that would be decoded."""
LEAST_SIDE = 4
"""Pixels: a picture of one pixel is a tracker's, or a mistake."""
_AUGMENTED = re.compile(r"^(.+)\.rf\.[0-9a-f]{16,}$")
"""How Roboflow names the copies of a picture that it made."""
_EXIF, _TAKEN, _CHANGED = 0x8769, 36867, 306


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: `group` tells what belongs together, `strict` refuses what would be left out.

    `format` is what manifests say, `classes` how many there must be.
    """

    group: str | None = None
    strict: bool = False
    format: str = ""
    classes: int = 2


@dataclass(frozen=True)
class ImportSource:
    """Pictures that a layout names. `origin` is what its owner pointed at; it is only ever read."""

    origin: Path
    listing: Listing
    layout: Layout
    reading: Reading = field(default_factory=Reading)
    kind: Literal["images"] = "images"
    _known: dict[Path, Member] = field(default_factory=dict[Path, Member])
    _left_out: dict[str, LeftOut] = field(default_factory=dict[str, LeftOut])

    @property
    def task(self) -> Literal["classify", "detect"]:
        """Boxes or classes."""
        return self.layout.task

    @property
    def labels(self) -> Sequence[str]:
        """The classes, in the order of the annotations' own list, or sorted."""
        return self.layout.labels

    @property
    def format(self) -> str:
        """The layout."""
        return self.reading.format

    @property
    def groups(self) -> Literal["known", "unknown"]:
        """Known where the layout or a pattern tells them."""
        return "known" if self.reading.group or all(entry.group for entry in self.layout.entries) else "unknown"

    @property
    def left_out(self) -> list[LeftOut]:
        """What was not read so far, and why."""
        return sorted((*self.layout.left_out, *self._left_out.values()), key=lambda item: item.file)

    def members(self) -> Sequence[Member]:
        """Every picture whose header can be read, under its group. Raises InputError for a class with none."""
        if not self._known:
            if self.reading.strict and self.layout.left_out:
                self._refuse(self.layout.left_out[0])
            rare = Counter(label for entry in self.layout.entries for label in _labels(entry))
            for entry in self.layout.entries:
                content = self._content(entry)
                if content is not None:
                    self._known[entry.file] = self._member(entry, content, rare)
            self._check_classes()
        return list(self._known.values())

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every picture that can be decoded; its bytes are the file's."""
        total, names = len(self.layout.entries), set[str]()
        for seen, entry in enumerate(self.layout.entries, 1):
            if (member := self._known.get(entry.file)) and (picture := self._picture(entry, member, names)):
                yield picture
            progress("images", seen, total)

    def report(self) -> dict[str, Any]:
        """How the folder was read, and each file that was not."""
        return {
            "format": self.layout.format,
            "images": len(self._known) - len(self._left_out.keys() & {printable(path) for path in self._known}),
            "notes": self.notes(),
            "left_out": [{"file": item.file, "why": item.why} for item in self.left_out],
            "ignored": self.listing.ignored,
        }

    def notes(self) -> list[str]:
        """Sentences for the folder's owner."""
        gone = {item.file for item in self._left_out.values()}
        entries = [entry for entry in self.layout.entries if printable(entry.file) not in gone]
        declared = any(entry.split for entry in entries)
        return [*self.layout.notes, *(describe_splits(entries, self.labels) if declared else ())]

    def _check_classes(self) -> None:
        """Raise InputError where nothing is left to learn from, or a class has nothing left."""
        have = {label for entry in self.layout.entries if entry.file in self._known for label in _labels(entry)}
        if self.task == "classify" and (absent := [label for label in self.labels if label not in have]):
            raise InputError(
                f"class '{absent[0]}'", f"has no image that can be read in {self.origin}", "see what is wrong with them"
            )
        if not have:
            raise InputError(self.origin, "has no image with an object that can be read", "see what is wrong with them")
        if self.task == "classify":
            check_number_of_classes(self.labels, self.reading.classes, self.origin)

    def _refuse(self, item: LeftOut) -> None:
        raise InputError(f"{printable(self.origin)}/{item.file}", item.why, "move it away, or leave out --strict")

    def _leave_out(self, entry: Entry, why: str) -> None:
        item = LeftOut(printable(entry.file), why)
        if self.reading.strict:
            self._refuse(item)
        self._left_out[item.file] = item

    def _content(self, entry: Entry) -> bytes | None:
        """A file's bytes if it may be a picture; what is wrong is listed."""
        try:
            return picture_bytes(self.listing.root / entry.file)
        except (OSError, UnreadableError, InputError, BrokenImageError, IndexError, struct.error, ValueError) as error:
            self._leave_out(entry, _why(error))
        return None

    def _member(self, entry: Entry, content: bytes, rare: Counter[str]) -> Member:
        """A picture's member. Of several classes its rarest counts, so that each class gets its share of splits."""
        digest = sha256_bytes(content)
        labels = sorted(_labels(entry), key=lambda label: (rare[label], label))[:1]
        return Member(self._group(entry, digest), digest, frozenset(labels), entry.split)

    def _group(self, entry: Entry, digest: str) -> str:
        if entry.group:  # the layout knows; a pattern, which a job may have for other pictures, only guesses from names
            return entry.group
        if self.reading.group:
            return group_of(
                printable(Path(entry.file.name)),
                self.reading.group,
                f"{printable(self.origin)}/{printable(entry.file)}",
            )
        augmented = _AUGMENTED.match(printable(Path(entry.file.stem)))
        return augmented[1] if augmented else digest[:16]

    def _picture(self, entry: Entry, member: Member, names: set[str]) -> Picture | None:
        """A picture, decoded once to see that it is whole; None for one that is left out."""
        source = f"{printable(self.origin)}/{printable(entry.file)}"
        try:
            content = (self.listing.root / entry.file).read_bytes()
            with warnings.catch_warnings():  # Pillow warns of what it then refuses
                warnings.simplefilter("ignore")
                image = decode(content, source)
            boxes = entry.placed(*image.size)
        except (OSError, UnreadableError, InputError) as error:
            self._leave_out(entry, _why(error))
            return None
        if sha256_bytes(content) != member.digest:
            raise InputError(source, "was changed while it was read", "run this again when nothing writes to it")
        name, when = self._name(entry, member, names), captured(content)
        return Picture(source, name, content, member, entry.label, printable(entry.file), boxes, captured=when, size=image.size)

    def _name(self, entry: Entry, member: Member, names: set[str]) -> str:
        """The file's name in the data set; of two that some file system takes for one, the later has its path's digest too."""
        stem, ending = printable(Path(entry.file.stem)), entry.file.suffix.lower()
        name = file_name(stem, f"-{member.digest[:8]}{ending}", member.digest)
        split = entry.split or ""
        key = unicodedata.normalize("NFC", f"{split}/{entry.label}/{name}").casefold()
        if key in names:
            own = sha256_bytes(printable(entry.file).encode())
            name = file_name(stem, f"-{member.digest[:8]}-{own[:8]}{ending}", own)
            key = unicodedata.normalize("NFC", f"{split}/{entry.label}/{name}").casefold()
        names.add(key)
        return name


def picture_bytes(path: Path) -> bytes:
    """A file's bytes, if its header is a picture's. Raises UnreadableError, OSError, or what the header's reader does."""
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableError(f"is larger than {MAX_BYTES // 1_000_000} MB")
    content = path.read_bytes()
    if not content:
        raise UnreadableError("is empty")
    header = read_header(content)
    if min(header.width, header.height) < LEAST_SIDE:
        raise UnreadableError(f"has {header.width}x{header.height} pixels, which is no picture")
    return content


def _why(error: Exception) -> str:
    """Why a file is left out."""
    if isinstance(error, InputError):
        return error.expectation
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return str(error) if isinstance(error, UnreadableError) else "is no JPEG, PNG, WebP or BMP file, or is damaged"


def _labels(entry: Entry) -> set[str]:
    return {entry.label} if entry.boxes is None else {box.label for box in entry.boxes}


def group_of(name: str, group: str, subject: str) -> str:
    """What a file's name tells. Raises InputError for a pattern that tells nothing."""
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(
            f"group pattern '{group}'", f"is not a regular expression ({error})", r"for example '^(s\d+)_'"
        ) from error
    if pattern.groups < 1:
        raise InputError(f"group pattern '{group}'", "has no group in parentheses", r"for example '^(s\d+)_'")
    match = pattern.search(name)
    if not match or not match.group(1):
        raise InputError(subject, f"its name does not match the group pattern '{group}'", "fix the pattern or the name")
    return match.group(1)


def captured(content: bytes) -> str:
    """When a picture was taken, as ISO 8601, if its EXIF says so; any other tag may be broken."""
    if b"Exif" not in content[:4096] and b"eXIf" not in content[:65536]:
        return ""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP")) as image:
            exif = image.getexif()
            text = str(exif.get_ifd(_EXIF).get(_TAKEN) or exif.get(_CHANGED) or "")
        return datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S").isoformat()  # noqa: DTZ007 cameras say no zone
    except Exception:  # noqa: BLE001 Pillow raises what it likes for metadata that nothing depends on
        return ""
