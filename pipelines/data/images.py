"""A folder with a folder of images per class, as a source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.data.dataset import Progress
from pipelines.data.source import Member, Picture, file_name
from registry.digests import sha256_bytes, sha256_file
from registry.errors import InputError


@dataclass(frozen=True)
class ImageSource:
    """Images by class. `group`: a regular expression over file names whose first group tells what belongs together."""

    origin: Path
    by_class: Mapping[str, Sequence[Path]]
    group: str | None = None
    kind: Literal["images"] = "images"
    task: Literal["classify"] = "classify"
    format: str = ""
    _digests: dict[Path, str] = field(default_factory=dict[Path, str])

    @property
    def labels(self) -> Sequence[str]:
        """The folders' names."""
        return sorted(self.by_class)

    @property
    def groups(self) -> Literal["known", "unknown"]:
        """Known where a pattern tells them."""
        return "known" if self.group else "unknown"

    def members(self) -> Sequence[Member]:
        """Every image, under the group that its name tells, or a group of its own."""
        return [self._member(label, file) for label, files in self.by_class.items() for file in files]

    def pictures(self, progress: Progress) -> Iterator[Picture]:
        """Every image; its bytes are the file's."""
        total, seen = sum(map(len, self.by_class.values())), 0
        for label, files in self.by_class.items():
            for file in files:
                content, member = file.read_bytes(), self._member(label, file)
                own = sha256_bytes(content)
                if own != member.digest:
                    raise InputError(file, "was changed while it was read", "run this again when nothing writes to it")
                name = file_name(file.stem, f"-{own[:8]}{file.suffix.lower()}", own)
                yield Picture(str(file), name, content, member, label, file.relative_to(self.origin).as_posix())
                seen += 1
                progress("images", seen, total)

    def report(self) -> dict[str, Any]:
        """Nothing was left out."""
        return {}

    def _member(self, label: str, file: Path) -> Member:
        if file not in self._digests:
            self._digests[file] = sha256_file(file)
        own = self._digests[file]
        return Member(_group_of(file, self.group) if self.group else own[:16], own, frozenset({label}))


def _group_of(file: Path, group: str) -> str:
    """What a file's name tells. Raises InputError for a pattern that tells nothing."""
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(
            f"group pattern '{group}'", f"is not a regular expression ({error})", r"for example '^(s\d+)_'"
        ) from error
    if pattern.groups < 1:
        raise InputError(f"group pattern '{group}'", "has no group in parentheses", r"for example '^(s\d+)_'")
    match = pattern.search(file.name)
    if not match or not match.group(1):
        raise InputError(file, f"its name does not match the group pattern '{group}'", "fix the pattern or the name")
    return match.group(1)
