"""Markdown for MLflow's pages: names stay names, what is too long gives way, and a person's words are never touched."""

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
    prose,
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


@given(st.text() | st.from_regex(r"(`modelyard [a-z|*@<]{1,9}`|[\\\\@:<`*|\[ &#;a]){1,40}"))
def test_a_command_in_a_sentence_is_code_and_nothing_else_is(sentence: str) -> None:
    shown = prose(sentence, 400)
    spans = re.compile(r"(?<!\\)`(modelyard [\w./@= -]+)`", re.ASCII)
    rest = spans.sub(" ", shown)
    assert not LINKED.search(rest)
    assert not MARKUP.search(rest)
    assert prose("see `modelyard data label-errors`: so") == "see `modelyard data label-errors`: so"
    assert "\\`" in prose("see `rm -rf`")


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


def test_our_part_is_brought_up_to_date_and_what_is_around_it_stays() -> None:
    first = merged("", "one\n\ntwo")
    assert first is not None
    assert merged(first, "one\n\ntwo") is None
    assert merged(first, "three").startswith("three\n")  # type: ignore[union-attr]
    around = f"Ask ada first.\r\n\r\n{first}\n\nSee the wiki."
    assert merged(around, "one\n\ntwo") is None
    second = merged(around, "three")
    assert second is not None
    assert second.startswith("Ask ada first.\n\nthree\n")
    assert second.endswith("\n\nSee the wiki.")
    assert "two" not in second


@pytest.mark.parametrize(
    "text",
    [
        "A hand.",
        "x\n<!-- written by modelyard 000000000000 1; edit it, and it is yours -->",
        "<!-- written by modelyard 000000000000 99; edit it, and it is yours -->",
    ],
)
def test_a_persons_own_description_is_never_overwritten(text: str) -> None:
    assert merged(text, "ours") is None


@given(st.text(max_size=40), st.text(max_size=40), st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_whatever_a_person_writes_around_our_part_or_into_it_stays(before: str, after: str, ours: str, next_: str) -> None:
    written = merged("", ours)
    assert written is not None
    kept = merged(f"{before}{written}{after}", next_)
    if kept is not None:
        assert kept.startswith(before.replace("\r\n", "\n"))
        assert kept.endswith(after.replace("\r\n", "\n"))
        assert next_ in kept
    if not f"{ours}!".endswith(ours):  # else it is a person's "!" in front of our part as it was
        assert merged(written.replace(ours, f"{ours}!", 1), next_) is None


def test_a_part_that_does_not_fit_is_not_written() -> None:
    assert merged("", "x" * MOST_CHARACTERS) is None
    first = merged("", "x") or ""
    assert merged("y" * (MOST_CHARACTERS - len(first)) + first, "x" * 40) is None
