"""What was suggested for the pictures of a data set, and what a person decided about each.

    reviews/<digest>/label-errors.json   the suggestions of `modelyard data label-errors`, worst first
    reviews/<digest>/proposals.json      a model's proposals
    reviews/<digest>/pictures/           pictures that were proposed for the data set and are not in it yet
    reviews/<digest>/decisions.jsonl     who decided what, one line a decision; only ever appended to

The digest is the data set's: a new version starts without decisions. A suggestion counts for nothing by itself; nor does a
decision, until `modelyard data apply-review` makes the next version of it. The last decision about a picture counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from registry.errors import DamagedFileError, InputError, MissingFileError, NotFoundError
from registry.files import open_plainly, read_bytes, read_json, storing, write_json
from registry.lease import locked_folder
from registry.records import Record

CandidateKind = Literal["label-error", "proposal"]
Action = Literal["relabel", "keep", "drop", "undo"]

REVIEWER = "MODELYARD_REVIEWER"
"""Who decides on the dashboard: set by `modelyard dashboard --review` for the process it starts, and by nobody else."""
_FILES: Mapping[CandidateKind, str] = {"label-error": "label-errors.json", "proposal": "proposals.json"}
_LEAST_PREFIX = 6
"""Digits of a picture's digest that name it, at least."""


class ProposedBox(Record):
    """One object as a model proposes it, or a person accepted it: its sides are shares of the picture's width and height."""

    label: str
    left: float = Field(ge=0, le=1)
    top: float = Field(ge=0, le=1)
    right: float = Field(ge=0, le=1)
    bottom: float = Field(ge=0, le=1)
    score: float | None = None


class Candidate(Record):
    """A suggestion about one picture: another label, or boxes."""

    kind: CandidateKind
    file: str
    """Below the data set's folder; of a picture that is not in the data set, below the review's."""
    sha256: str
    label: str
    """What the data set says now; empty for a detector's picture, and for one that is not in the data set."""
    suggested: str
    """The label that is suggested; of boxes, their labels."""
    score: float
    """How sure whoever suggests it is, 0 to 1."""
    by: str
    clip: str = ""
    split: str = ""
    boxes: tuple[ProposedBox, ...] | None = None
    is_new: bool = False
    """Whether the picture is not in the data set."""
    whole_clip: bool = False
    """Whether nearly every picture of its clip is suggested for the same label."""


class Decision(Record):
    """What a person decided about one picture, wherever in the data set its bytes are."""

    at: str
    who: str
    sha256: str
    action: Action
    before: str = ""
    """The label that the picture had."""
    label: str = ""
    """The label that it gets."""
    boxes: tuple[ProposedBox, ...] | None = None
    by: str = ""
    """Who had suggested it."""

    def __str__(self) -> str:
        """The decision as people read it."""
        boxes = f"{len(self.boxes)} boxes" if self.boxes is not None else f"'{self.label}'"
        what = {"relabel": f"becomes {boxes}", "keep": "stays as it is", "drop": "is dropped", "undo": "is undecided again"}
        return f"{self.sha256[:12]} {what[self.action]} ({self.who})"


_List = TypeAdapter(list[Candidate])


@dataclass(frozen=True, slots=True)
class Review:
    """The review of one data set; nothing is made by reading it."""

    folder: Path

    @classmethod
    def of(cls, home: Path, digest: str) -> Review:
        """The review of the data set with that digest."""
        return cls(home / "reviews" / digest)

    @property
    def pictures(self) -> Path:
        """Where pictures lie that are not in the data set."""
        return self.folder / "pictures"

    def candidates(self) -> list[Candidate]:
        """Every suggestion, label errors first; one a picture. Raises DamagedFileError."""
        by_picture = dict[str, Candidate]()
        for kind in _FILES:
            for candidate in self._suggested(kind):
                by_picture.setdefault(candidate.sha256, candidate)
        return list(by_picture.values())

    def suggest(self, kind: CandidateKind, candidates: Sequence[Candidate]) -> None:
        """Write suggestions. Label errors replace those before; proposals replace those for the same pictures."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(self.folder):
            fresh = {candidate.sha256 for candidate in candidates}
            old = self._suggested(kind) if kind == "proposal" else []
            kept = [candidate for candidate in old if candidate.sha256 not in fresh]
            document = [candidate.model_dump(mode="json") for candidate in (*candidates, *kept)]
            write_json(self.folder / _FILES[kind], document)

    def decisions(self) -> dict[str, Decision]:
        """Picture's digest → the decision that counts. Raises DamagedFileError for a line that is none.

        A last line without its end was never recorded: whoever wrote it was killed.
        """
        latest = dict[str, Decision]()
        whole, _, _ = self._content().rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                decision = Decision.model_validate_json(line)
            except (ValidationError, ValueError) as error:
                remedy = "restore it from a backup, or remove that line"
                raise DamagedFileError(self._file, f"line {number} is not a decision", remedy) from error
            if decision.action == "undo":
                latest.pop(decision.sha256, None)
            else:
                latest[decision.sha256] = decision
        return latest

    def record(self, decisions: Iterable[Decision]) -> list[Decision]:
        """Append decisions, on disk when this returns; those that counted already are not written again. What was written."""
        with storing(self._file):
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked_folder(self.folder):
                latest = self.decisions()
                fresh = [decision for decision in decisions if _changes(decision, latest.get(decision.sha256))]
                if fresh:
                    self._append(b"".join(decision.model_dump_json().encode() + b"\n" for decision in fresh))
        return fresh

    def candidate(self, picture: str) -> Candidate:
        """The suggestion for a picture, named by its digest or the start of it. Raises NotFoundError, InputError."""
        return find_by_digest(picture, {candidate.sha256: candidate for candidate in self.candidates()}, "suggestion")

    @property
    def _file(self) -> Path:
        return self.folder / "decisions.jsonl"

    def _content(self) -> bytes:
        try:
            return read_bytes(self._file)
        except MissingFileError:
            return b""

    def _append(self, lines: bytes) -> None:
        """Append whole lines; what a killed writer left of a line is cut off first."""
        whole = self._content().rpartition(b"\n")
        handle = open_plainly(self._file, os.O_RDWR)
        try:
            os.ftruncate(handle, len(whole[0]) + len(whole[1]))
            os.lseek(handle, 0, os.SEEK_END)
            with os.fdopen(handle, "wb", closefd=False) as file:
                file.write(lines)
                file.flush()
                os.fsync(handle)
        finally:
            os.close(handle)

    def _suggested(self, kind: CandidateKind) -> list[Candidate]:
        path = self.folder / _FILES[kind]
        remedy = "remove it, and run the command that made it again"
        try:
            document = read_json(path, remedy)
        except MissingFileError:
            return []
        try:
            return _List.validate_python(document)
        except ValidationError as error:
            raise DamagedFileError(path, "is not a list of suggestions", remedy) from error


def find_by_digest(picture: str, known: Mapping[str, Any], what: str) -> Any:
    """What belongs to the picture whose digest starts so. Raises InputError, NotFoundError."""
    digits = picture.lower()
    if len(digits) < _LEAST_PREFIX:
        raise InputError(
            f"picture '{picture}'", "is too short to name one", f"give {_LEAST_PREFIX} digits of its SHA-256 or more"
        )
    matches = [digest for digest in known if digest.startswith(digits)]
    if not matches:
        remedy = "`modelyard data review` lists them"
        raise NotFoundError(f"picture '{picture}'", f"there is no {what} for it in this version of the data set", remedy)
    if len(matches) > 1:
        raise InputError(f"picture '{picture}'", f"names {len(matches)} pictures", "give more digits of its SHA-256")
    return known[matches[0]]


def decision_on(candidate: Candidate, action: Action, who: str, label: str = "") -> Decision:
    """A decision about a suggestion, made now. `label`: another class than the one that is suggested."""
    accepts = action == "relabel" and not label
    return Decision(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        who=who,
        sha256=candidate.sha256,
        action=action,
        before=candidate.label,
        label=(label or candidate.suggested) if action == "relabel" else "",
        boxes=candidate.boxes if accepts else None,
        by=candidate.by,
    )


def _changes(decision: Decision, latest: Decision | None) -> bool:
    """Whether a decision says anything that does not count already."""
    if latest is None:
        return decision.action != "undo"
    return (decision.action, decision.label, decision.boxes) != (latest.action, latest.label, latest.boxes)
