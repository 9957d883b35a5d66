"""Texts as pages show them."""

from __future__ import annotations

from dashboards.words import escaped, shorten


def test_words_are_shortened_and_never_markup() -> None:
    assert shorten("a\n b" + "c" * 100, 10) == "a bcccccc…"
    assert escaped("**a** [b](c) :red[d] $e$ <f>").replace("\\", "") == "**a** [b](c) :red[d] $e$ <f>"
    assert escaped("*").startswith("\\")
