"""What was taught in the page of `modelyard web`: its pictures by take, and the document beside them that names each.

A label is any text and stands in the document; folders have names that every system can make. A take is recorded in one go,
so its frames look alike: it is the group that goes to one split.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pipelines.data.dataset import SPLITS
from pipelines.data.importing.layout import Entry, Layout, plural
from pipelines.data.importing.listing import Listing
from registry.digests import sha256_file
from registry.errors import InputError, shorten
from registry.refs import check_model_name

DOCUMENT = "taught.json"
FORMAT = 1
MOST_BYTES = 64_000_000
"""Of the document: a layer of 50 classes on 10,000 features is a sixth of it."""
_ROUNDING = 1e-3
"""How far from 1 the sum of probabilities may be."""
_MOST = 3.4e38
_SHOWN = 120
_REMEDY = "export it again from the page"


class Base(msgspec.Struct, frozen=True):
    """The version whose features the head was trained on, and its bundle's digest."""

    model: str
    version: int
    bundle: str


class Head(msgspec.Struct, frozen=True):
    """A dense layer: `kernel` is `[features, labels]` row by row, `bias` `[labels]`."""

    kernel: list[float]
    bias: list[float]


class Training(msgspec.Struct, frozen=True):
    """How it was trained. `accuracy`: on the takes that were held out; None where there were none."""

    losses: list[float]
    accuracy: float | None
    held_out: list[str]


class Image(msgspec.Struct, frozen=True):
    """One picture: its path in the archive, its class, and its take's name."""

    file: str
    label: str
    take: str


class Check(msgspec.Struct, frozen=True):
    """The page's own probabilities for one of the pictures, in the order of the labels."""

    file: str
    probabilities: list[float]


class Taught(msgspec.Struct, frozen=True):
    """The document. What it says fits together: see `read_document`."""

    base: Base
    labels: list[str]
    head: Head
    training: Training
    images: list[Image]
    checks: list[Check]


class _Version(msgspec.Struct, frozen=True):
    format: int


_T = TypeVar("_T")


def read_document(path: Path, subject: object) -> Taught:
    """The document, whose numbers are numbers of 32 bits and whose parts fit together. Raises InputError.

    What `subject` names is somebody's file: nothing of it is used before everything was looked at. Whether its pictures are
    there is not asked.
    """
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise _wrong(subject, f"has {size:,} bytes, more than {MOST_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise _wrong(subject, f"cannot be read ({error.strerror})") from error
    version = _decoded(content, _Version, subject).format
    if version != FORMAT:
        remedy = "use the release of Modelyard that the page is from"
        raise InputError(f"{subject}: {DOCUMENT}", f"is of format {version}, and format {FORMAT} is known", remedy)
    taught = _decoded(content, Taught, subject)
    _check_base(taught.base, subject)
    _check_head(taught, subject)
    _check_images(taught, subject)
    _check_answers(taught, subject)
    return taught


def read_taught(listing: Listing, subject: object) -> Layout:
    """The pictures under their labels and takes. Raises InputError for one that is not there, or for too few takes."""
    taught = read_document(listing.root / DOCUMENT, subject)
    layout = Layout("taught", "classify", sorted(taught.labels), used={Path(DOCUMENT)}, unnamed=f"{DOCUMENT} does not name it")
    files, takes = set(listing.files), defaultdict[str, set[str]](set)
    for image in taught.images:
        if Path(image.file) not in files:
            raise _wrong(subject, f"names '{_shown(image.file)}', which is not beside it")
        takes[image.label].add(image.take)
    for label in layout.labels:
        if len(takes[label]) < len(SPLITS):
            why = f"was recorded in {plural(len(takes[label]), 'take')}, and train, val and test want one each"
            raise InputError(f"class '{_shown(label)}'", why, "record more takes in the page, and export it again")
    groups = _groups(taught.images, listing.root)
    layout.entries = [Entry(Path(image.file), image.label, group=groups[image.take]) for image in taught.images]
    layout.notes.append(_note(taught))
    return layout


def _groups(images: Iterable[Image], root: Path) -> dict[str, str]:
    """Take → what it is called in a data set: in the next file the page may call another take by that number."""
    groups = dict[str, str]()
    for image in images:
        if image.take not in groups:
            groups[image.take] = f"{image.take}-{sha256_file(root / image.file)[:8]}"
    return groups


def _note(taught: Taught) -> str:
    base, training = taught.base, taught.training
    note = f"taught in the page on the features of {base.model}/{base.version}"
    if training.accuracy is None:
        return f"{note}; no take was held out there"
    return f"{note}; {training.accuracy:.1%} right there on {plural(len(training.held_out), 'take')} held out"


def _decoded(content: bytes, kind: type[_T], subject: object) -> _T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(subject, f"is not what the page writes ({_shown(error)})") from error


def _wrong(subject: object, why: str) -> InputError:
    return InputError(f"{subject}: {DOCUMENT}", why, _REMEDY)


def _check_base(base: Base, subject: object) -> None:
    try:
        check_model_name(base.model)
    except InputError as error:
        raise _wrong(subject, "names no model that it was taught on") from error
    if base.version < 1 or not re.fullmatch("[0-9a-f]{64}", base.bundle):
        raise _wrong(subject, "names no version and bundle that it was taught on")


def _check_head(taught: Taught, subject: object) -> None:
    labels, head, training = taught.labels, taught.head, taught.training
    if twice := _twice(labels):
        raise _wrong(subject, f"names the class '{_shown(twice)}' twice")
    if len(labels) < 2:  # noqa: PLR2004 one class is no classifier
        raise _wrong(subject, f"names {plural(len(labels), 'class')}, and a classifier has two or more")
    if len(head.bias) != len(labels):
        raise _wrong(subject, f"has {len(head.bias)} biases for {len(labels)} classes")
    if not head.kernel or len(head.kernel) % len(labels):
        raise _wrong(subject, f"has a kernel of {len(head.kernel)} numbers, which are no rows of {len(labels)} classes")
    for name, numbers in (("kernel", head.kernel), ("bias", head.bias), ("losses", training.losses)):
        if any(abs(number) > _MOST for number in numbers):
            raise _wrong(subject, f"has a number in its {name} that is no float32")
    if training.accuracy is not None and not 0 <= training.accuracy <= 1:
        raise _wrong(subject, f"says an accuracy of {training.accuracy}, which is no share")


def _check_images(taught: Taught, subject: object) -> None:
    labels, takes = set(taught.labels), {image.take for image in taught.images}
    if twice := _twice([image.file for image in taught.images]):
        raise _wrong(subject, f"names the picture '{_shown(twice)}' twice")
    for image in taught.images:
        if image.label not in labels:
            raise _wrong(subject, f"gives '{_shown(image.file)}' the class '{_shown(image.label)}', which it does not list")
        if not image.take.strip():
            raise _wrong(subject, f"names no take of '{_shown(image.file)}'")
    if absent := [label for label in taught.labels if all(image.label != label for image in taught.images)]:
        raise _wrong(subject, f"has no picture of the class '{_shown(absent[0])}'")
    if strange := [take for take in taught.training.held_out if take not in takes]:
        raise _wrong(subject, f"says that the take '{_shown(strange[0])}' was held out, of which it has no picture")


def _check_answers(taught: Taught, subject: object) -> None:
    files = {image.file for image in taught.images}
    if not taught.checks:
        raise _wrong(subject, "has no answers of the page, by which its head could be checked")
    for check in taught.checks:
        name, values = _shown(check.file), check.probabilities
        if check.file not in files:
            raise _wrong(subject, f"has an answer for '{name}', which is none of its pictures")
        if len(values) != len(taught.labels):
            raise _wrong(subject, f"has an answer of {len(values)} numbers for {len(taught.labels)} classes ('{name}')")
        if not all(0 <= value <= 1 for value in values) or abs(sum(values) - 1) > _ROUNDING:
            raise _wrong(subject, f"has an answer that is no row of probabilities ('{name}')")


def _shown(text: object) -> str:
    """Somebody's text on one line of a message, without what a terminal would obey."""
    line = shorten(text, _SHOWN)
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in line)


def _twice(names: Sequence[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def has_document(names: Iterable[str]) -> bool:
    """Whether an archive's members have the document among them, at the top or in the one folder around everything."""
    parts = [[part for part in name.split("/") if part] for name in names]
    return any(path[-1:] == [DOCUMENT] and len(path) <= 2 for path in parts)  # noqa: PLR2004
