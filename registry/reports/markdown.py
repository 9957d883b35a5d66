"""Markdown for MLflow's pages, whose texts people may edit too, and in which a name that anybody chose means nothing.

What a person wrote is never touched. Our part of a text ends in a comment, which the page does not show, with its length and
its digest: what stands before and after our part is kept, and a part that was edited is the person's from then on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from registry.digests import sha256_bytes
from registry.errors import shorten

MOST_CHARACTERS = 5000
"""What MLflow's column holds of a description; the tag of a run's text holds more."""
_OURS = 4500
"""The rest is for the mark, and for a person's words."""
_MARK = re.compile(r"\n*<!-- written by modelyard ([0-9a-f]{12}) (\d+); edit it, and it is yours -->")
_ESCAPED = frozenset("\\`*_{}[]|#~")
_MEANING = re.compile(r"[\\`*_{}\[\]|#~&<>$]|(?<!\w)@|@(?!\d+(?![\w.-]))|:(?=\S)|(?<=[wW]{3})\.")
"""What MLflow's pages make anything of: they link addresses, e-mail and GitHub's names, and read emoji, backslash or not."""
_ADDRESS = re.compile(r"https?://[\w.:/%~-]+", re.ASCII)
_COMMAND = re.compile(r"(?<!\\)`(modelyard [\w./@= -]{1,80})`", re.ASCII)
"""Nothing of it means anything to a reader of Markdown, whoever wrote it."""
_RUN = re.compile(r"[0-9A-Za-z]{8,64}")
_LONGEST = 90
_SPACED = "&ensp; | "


def merged(current: str, ours: str) -> str | None:
    """A text with our part brought up to date; None where nothing is to be written.

    A text without our part is a person's, unless it is empty; so is our part where a person edited it.
    """
    current = (current or "").replace("\r\n", "\n")
    written = f"{ours}\n\n<!-- written by modelyard {_digest(ours)} {len(ours)}; edit it, and it is yours -->"
    if not current.strip():
        return written if len(written) <= MOST_CHARACTERS else None
    mark = _MARK.search(current)
    if mark is None:
        return None
    start = mark.start() - int(mark[2])
    before = current[max(start, 0) : mark.start()]
    if start < 0 or _digest(before) != mark[1]:
        return None
    whole = current[:start] + written + current[mark.end() :]
    return whole if whole != current and len(whole) <= MOST_CHARACTERS else None


def _digest(text: str) -> str:
    return sha256_bytes(text.encode())[:12]


def fitted(parts: Sequence[tuple[int, str]]) -> str:
    """Parts one below the other, empty ones left out. What is too long loses the part of the highest rank; rank 0 stays."""
    kept = [part for part in parts if part[1]]
    while len(text := "\n\n".join(part[1] for part in kept)) > _OURS and any(rank for rank, _ in kept):
        del kept[max(range(len(kept)), key=lambda index: (kept[index][0], index))]
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table of cells that are Markdown already; "" without rows. `align` has an `r` for each column that is figures.

    MLflow's pages have no space between cells.
    """
    if not rows:
        return ""
    rule = ["--:" if align[index : index + 1] == "r" else ":--" for index in range(len(head))]
    lines = [f"| {_SPACED.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def facts_table(facts: Sequence[tuple[str, str]]) -> str:
    """A table of names and what they are, without a head."""
    lines = [f"| {name}{_SPACED}{value} |" for name, value in facts]
    return "\n".join(["| | |", "|:--|:--|", *lines]) if facts else ""


def plain(text: str, longest: int = _LONGEST) -> str:
    """A text that means nothing in Markdown or HTML, on one line and not too long."""
    return _MEANING.sub(_escaped, shorten(text, longest))


def prose(text: str, longest: int = _LONGEST) -> str:
    """The same for a sentence of ours, in which a command between backticks is shown as one."""
    parts = _COMMAND.split(shorten(text, longest))
    return "".join(code(part) if number % 2 else _MEANING.sub(_escaped, part) for number, part in enumerate(parts))


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}" if match[0] in _ESCAPED else f"&#{ord(match[0])};"


def code(text: str) -> str:
    """A command, as it is typed."""
    typed = text.replace("`", "'")
    return f"`{typed}`"


def address(url: str) -> str:
    """An address as text; "" for one that is none. MLflow's pages link nothing within code."""
    return url if _ADDRESS.fullmatch(url) else ""


def run_link(words: str, run_id: str) -> str:
    """A link to a run on the same server; "" for an id that is none."""
    return f"[{words}](#/runs/{run_id})" if _RUN.fullmatch(run_id) else ""


def run_picture(words: str, run_id: str, file: str) -> str:
    """A picture among a run's files, which the same server shows; "" for an id that is none."""
    if not _RUN.fullmatch(run_id):
        return ""
    return f"![{words}](get-artifact?path={file.replace('/', '%2F')}&run_uuid={run_id})"


def usd(amount: Decimal) -> str:
    """An amount, to the cent from a dollar on."""
    return f"${amount:f}" if amount < 1 else f"${amount:,.2f}"
