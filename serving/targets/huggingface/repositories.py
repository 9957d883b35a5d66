"""Whether a repository at Hugging Face may be published into: as private as the job says, and with no files but ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from registry.errors import RefusedError
from serving.bundle.checked import INDEX, SIGNATURE
from serving.bundle.web_page import ABOUT

Kind = Literal["model", "space"]

_MARKS: Mapping[Kind, str] = {"model": INDEX, "space": ABOUT}
"""The file by which a repository that we published to is known."""

KEPT = frozenset({".gitattributes", "README.md"})
"""What publishing leaves where it has nothing of that name: a card that a person wrote beside bundles stays."""

_FIRST = "initial commit"
"""The title of the commit that Hugging Face makes with a repository."""

_MADE: Mapping[Kind, frozenset[str]] = {"model": KEPT, "space": KEPT | {"index.html", "style.css"}}
"""The files that it puts there then."""

_OURS: Mapping[Kind, re.Pattern[str]] = {
    "model": re.compile(
        rf"code/.+|handler\.py|requirements\.txt|README\.md|\.gitattributes|{re.escape(INDEX)}|{re.escape(SIGNATURE)}"
    ),
    "space": re.compile(
        r"(model|lib|assets|check)/.+|index\.html|page\.mjs|resize\.mjs|sw\.js|icon\.svg|manifest\.webmanifest|README\.md|\.gitattributes"
    ),
}


class Repository(NamedTuple):
    """A model repository or a Space as it is: its newest commit, its files, and who can read it."""

    name: str
    kind: Kind
    commit: str
    private: bool
    files: frozenset[str]

    @property
    def label(self) -> str:
        """What errors call it."""
        return f"{'Space' if self.kind == 'space' else 'repository'} {self.name}"


def check_may_hold(there: Repository, read: Callable[[str], bytes], titles: Callable[[], list[str]], *, private: bool) -> None:
    """Raise RefusedError for a repository that is not as private as is wanted, or that holds files of somebody else's.

    Publishing makes a repository hold exactly our files, so it would delete them. `read` gives a file's bytes, and `titles`
    those of the commits.
    """
    if there.private is not private:
        now, wanted = ("public", "private") if private else ("private", "public")
        nothing = "and nothing is published there by accident" if private else "so that nobody else could read it there"
        remedy = f"make it {wanted} in its settings at Hugging Face, name another, or say that it is {now}"
        raise RefusedError(there.label, f"is {now}, {nothing}", remedy)
    if _MARKS[there.kind] not in there.files and there.files <= _MADE[there.kind] and titles() == [_FIRST]:
        return
    theirs = sorted(there.files - _ours(there, read))
    if theirs:
        more = {1: "", 2: " and 1 more file"}.get(len(theirs), f" and {len(theirs) - 1} more files")
        why = f"holds {theirs[0]}{more}, which Modelyard did not publish there and would delete"
        raise RefusedError(there.label, why, "name a repository that is new, or move those files away")


def _ours(there: Repository, read: Callable[[str], bytes]) -> set[str]:
    """Those of its files that we published: none without our mark; the bundle's are those that its index lists.

    Raises what `read` does: who cannot be asked has told nothing.
    """
    if _MARKS[there.kind] not in there.files:
        return {".gitattributes"}
    names = {name for name in there.files if _OURS[there.kind].fullmatch(name)}
    if there.kind == "space":
        return names
    try:
        return names | set(json.loads(read(INDEX))["files"])
    except (ValueError, KeyError, TypeError):
        return names
