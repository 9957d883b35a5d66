"""Markdown for MLflow's pages: names stay names, links and pictures are only our own, and what is too long gives way."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.reports.markdown import (
    MOST_CHARACTERS,
    address,
    code,
    facts_table,
    fitted,
    merged,
    plain,
    run_link,
    run_picture,
    table,
)

LINKED = re.compile(r"(?i)https?:|ftp:|mailto:|www\.|(?<!\w)@|@\w*[^\W\d]|:\w+:")
"""What showdown, which MLflow's pages use, makes a link or an emoji of."""
MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[`*_{}\[\]|~]|[<>$]|&(?!#\d+;)")


@given(st.text() | st.from_regex(r"[\\@:<w.htp/`*|\[ &a#;]{1,60}"))
def test_nothing_in_a_name_is_markup_and_all_of_it_is_there(name: str) -> None:
    shown = plain(name, 200)
    assert not LINKED.search(shown)
    assert not MARKUP.search(shown)
    read = re.sub(r"&#(\d+);|\\(.)", lambda match: chr(int(match[1])) if match[1] else match[2], shown)
    assert read == (line if len(line := " ".join(name.split())) <= 200 else f"{line[:199]}…")


def test_a_data_sets_version_is_read_as_it_is_written() -> None:
    assert plain("hand@2") == "hand@2"
    assert plain("ada@example.com") == "ada&#64;example.com"
    assert plain("local: 2 cores") == "local: 2 cores"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2500)), max_size=8))
def test_the_least_important_parts_give_way_first(parts: list[tuple[int, int]]) -> None:
    texts = [(rank, f"{index} {'x' * length}") for index, (rank, length) in enumerate(parts) if rank]
    texts.insert(0, (0, "first"))
    shown = fitted(texts)
    kept = [rank for rank, text in texts if text in shown.split("\n\n")]
    assert kept[0] == 0
    assert merged("", shown) is not None
    gone = [rank for rank, text in texts if text not in shown.split("\n\n")]
    assert not gone or min(gone) >= max(kept), "nothing is left out that is more important than what is shown"


def test_only_our_own_addresses_become_links_and_pictures() -> None:
    assert run_link("report", "a" * 32) == f"[report](#/runs/{'a' * 32})"
    assert (
        run_picture("Mistakes", "a" * 32, "plots/a.jpg") == f"![Mistakes](get-artifact?path=plots%2Fa.jpg&run_uuid={'a' * 32})"
    )
    for run_id in ("", "a)b", "javascript:x", "../x", "a" * 65):
        assert run_link("report", run_id) == run_picture("Mistakes", run_id, "plots/a.jpg") == ""


@pytest.mark.parametrize(
    "url", ["", "javascript:alert(1)", "http://a`b", "http://a b", "http://a\n", "file:///etc", "http://a'b", 'http://a"b']
)
def test_what_is_no_address_is_not_shown_as_one(url: str) -> None:
    assert address(url) == ""
    assert address("http://127.0.0.1:8080/v2") == "http://127.0.0.1:8080/v2"


def test_a_command_ends_where_it_ends() -> None:
    assert code("a`b") == "`a'b`"


def test_tables_have_space_between_cells_and_none_without_rows() -> None:
    assert table(["a", "b"], []) == facts_table([]) == ""
    assert table(["a", "b"], [("1", "2")], "lr") == "| a&ensp; | b |\n|:--|--:|\n| 1&ensp; | 2 |"
    assert facts_table([("a", "b")]) == "| | |\n|:--|:--|\n| a&ensp; | b |"


def test_the_limit_is_mlflows() -> None:
    assert MOST_CHARACTERS == 5000
