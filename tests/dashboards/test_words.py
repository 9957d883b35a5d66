"""Texts as pages show them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import dashboards.views
from dashboards.words import cell, escaped, message
from registry.errors import ModelyardError


def test_words_are_shortened_and_never_markup() -> None:
    assert cell("a\n b" + "c" * 100) == "a b" + "c" * 76 + "…"
    assert escaped("**a** [b](c) :red[d] $e$ <f>").replace("\\", "") == "**a** [b](c) :red[d] $e$ <f>"
    assert escaped("*").startswith("\\")


@given(st.text(alphabet="`*_[]()<>:$!|~\\\\ab \n#@.www/", max_size=40))
def test_a_message_is_text_and_code_and_nothing_else(text: str) -> None:
    line = " ".join(text.split())
    (paragraph,) = [token for token in MarkdownIt().parse(f"x {message(text)} x") if token.type == "inline"]
    assert {token.type for token in paragraph.children or ()} <= {"text", "text_special", "code_inline"}
    shown = "".join(f"`{part.content}`" if part.type == "code_inline" else part.content for part in paragraph.children or ())
    assert " ".join(shown.replace("\u2060", "").split()) == " ".join(f"x {line} x".split())


def test_the_command_of_a_message_is_shown_as_code() -> None:
    error = ModelyardError("server", "does not answer", "start it with `modelyard up`")
    assert message(error).endswith("`modelyard up`")
    assert message("an `unfinished *command*").count("\\*") == 2


def test_no_page_has_a_bare_expression_which_streamlit_would_write_onto_it() -> None:
    """Streamlit's magic shows the value of a statement that is neither a call nor a text; a page says what it shows."""
    harmless = (ast.Call, ast.Constant, ast.Await, ast.Yield, ast.YieldFrom)
    pages = sorted(Path(dashboards.views.__path__[0]).rglob("*.py"))
    assert pages
    bare = [
        f"{page.name}:{node.lineno}"
        for page in pages
        for node in ast.walk(ast.parse(page.read_text()))
        if isinstance(node, ast.Expr) and not isinstance(node.value, harmless)
    ]
    assert bare == []


@pytest.mark.parametrize(
    "name", ["http://a.example/x", "see HTTPS://a.example", "www.a.example", "WWW.a.example", "ada@a.example"]
)
def test_an_address_in_a_text_is_no_link(name: str) -> None:
    """GitHub's Markdown links addresses in plain text, whatever is escaped, by such expressions."""
    shown = escaped(name).replace("\\", "")
    assert shown.replace("\u2060", "") == name
    assert not re.search(r"(https?://|www(?=\.))([-.\w]+)([^ \t\r\n]*)", shown, re.IGNORECASE | re.ASCII)
    assert not re.search(r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)", shown, re.ASCII)


def test_an_address_ends_no_earlier_and_other_text_stays() -> None:
    assert escaped("wwwa http:/ httpx").replace("\\", "") == "wwwa http:/ httpx"
