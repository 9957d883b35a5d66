"""Names and texts that users chose, as pages show them: literally, and never as markup."""

from __future__ import annotations

import re

from registry.errors import shorten

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_LINKED = re.compile(r"(?i)https?://|www(?=\.)|@")
"""What GitHub's Markdown makes a link of by itself, after escapes are gone: an address or an e-mail's sign in any text."""
_CODE = re.compile(r"`([^`]+)`")
_WORD_JOINER = "\u2060"
_LONGEST = 80


def cell(text: object) -> str:
    """A text for a table's cell: one line, cut where it is long."""
    return shorten(text, _LONGEST)


def escaped(text: str, most: int = 300) -> str:
    """A text for where Streamlit reads Markdown, without any link, picture, colour or formula of its own."""
    return _literal(shorten(text, most))


def message(text: object, most: int = 400) -> str:
    """A message, such as an error's: what stands between backticks is shown as code, all else as `escaped` shows it.

    Nothing in code is markup to any reader of Markdown, so it does not matter who wrote it.
    """
    parts = _CODE.split(shorten(text, most))
    return "".join(f"`{part}`" if number % 2 else _literal(part) for number, part in enumerate(parts))


def _literal(text: str) -> str:
    unlinked = _LINKED.sub(lambda match: match[0] + _WORD_JOINER, text)
    return _PUNCTUATION.sub(r"\\\1", unlinked)
