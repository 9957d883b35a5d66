"""Texts as pages show them."""

from __future__ import annotations

from dashboards.words import cell, escaped


def test_words_are_shortened_and_never_markup() -> None:
    assert cell("a\n b" + "c" * 100) == "a b" + "c" * 76 + "…"
    assert escaped("**a** [b](c) :red[d] $e$ <f>").replace("\\", "") == "**a** [b](c) :red[d] $e$ <f>"
    assert escaped("*").startswith("\\")
