"""Decisions about labels are only ever appended, by many at once, and none that was recorded is lost or guessed."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digests import sha256_bytes
from registry.errors import DamagedFileError, InputError, NotFoundError
from registry.reports.reviews import Candidate, Decision, Review, decision_on

ACTIONS = ("relabel", "keep", "drop", "undo")


def candidate(number: int, **changes) -> Candidate:
    fields = {"kind": "label-error", "file": f"train/a/{number}.jpg", "sha256": sha256_bytes(str(number).encode())}
    return Candidate(**(fields | {"label": "a", "suggested": "b", "score": 0.9, "by": "cleanlab"} | changes))


@pytest.fixture
def review(tmp_path: Path) -> Review:
    return Review.of(tmp_path, "d" * 64)


def test_reading_a_review_that_nobody_began_makes_nothing(review: Review) -> None:
    assert (review.candidates(), review.decisions()) == ([], {})
    assert not review.folder.exists()


def test_the_same_decision_twice_is_one_line_and_the_last_one_counts(review: Review) -> None:
    first = candidate(1)
    assert len(review.record([decision_on(first, "relabel", "ada")])) == 1
    assert review.record([decision_on(first, "relabel", "bob")]) == []
    review.record([decision_on(first, "relabel", "ada", "c")])
    assert review.decisions()[first.sha256].label == "c"
    review.record([decision_on(first, "undo", "ada")])
    assert review.decisions() == {}
    assert review.record([decision_on(first, "undo", "ada")]) == []
    assert len((review.folder / "decisions.jsonl").read_text().splitlines()) == 3


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(ACTIONS), st.sampled_from(["", "b", "c"])), max_size=30))
def test_what_counts_is_what_was_decided_last_whatever_the_order(choices: list[tuple[int, str, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        review, expected = Review(Path(folder) / "r"), {}
        for number, action, label in choices:
            decision = decision_on(candidate(number), action, "ada", label)
            review.record([decision])
            if action == "undo":
                expected.pop(decision.sha256, None)
            else:
                expected[decision.sha256] = (action, decision.label)
        assert {key: (item.action, item.label) for key, item in review.decisions().items()} == expected


def _decide(folder: Path, worker: int) -> None:
    for number in range(20):
        Review(folder).record([decision_on(candidate(100 * worker + number), "keep", f"worker {worker}")])


def test_many_processes_decide_at_once_and_no_line_is_lost_or_torn(review: Review) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_decide, args=(review.folder, worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(review.decisions()) == 80


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_line_of_a_killed_writer_does_not_count_and_the_next_one_is_whole(review: Review, cut: int) -> None:
    review.record([decision_on(candidate(1), "keep", "ada")])
    file = review.folder / "decisions.jsonl"
    file.write_bytes(file.read_bytes() + file.read_bytes()[:cut])
    assert len(review.decisions()) == 1
    review.record([decision_on(candidate(2), "drop", "ada")])
    assert [item.action for item in review.decisions().values()] == ["keep", "drop"]
    assert len(file.read_text().splitlines()) == 2


@pytest.mark.parametrize("line", [b"{}", b"\xff\xfe", b"[1]", b'{"at": 1}', b"x" * 10_000])
def test_a_damaged_line_is_said_by_number_and_nothing_is_written_behind_it(review: Review, line: bytes) -> None:
    review.record([decision_on(candidate(1), "keep", "ada")])
    file = review.folder / "decisions.jsonl"
    before = file.read_bytes() + line + b"\n"
    file.write_bytes(before)
    for attempt in (review.decisions, lambda: review.record([decision_on(candidate(2), "keep", "ada")])):
        with pytest.raises(DamagedFileError, match="line 2 is not a decision"):
            attempt()
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", ["{}", "[{}]", "[1]", "", "nonsense"])
def test_a_damaged_list_of_suggestions_is_one_line(review: Review, content: str) -> None:
    review.folder.mkdir(parents=True)
    (review.folder / "proposals.json").write_text(content)
    with pytest.raises(DamagedFileError, match="run the command that made it again"):
        review.candidates()


def test_label_errors_replace_those_before_and_proposals_those_for_the_same_pictures(review: Review) -> None:
    review.suggest("label-error", [candidate(1), candidate(2)])
    review.suggest("label-error", [candidate(2)])
    proposals = [candidate(number, kind="proposal", suggested="c") for number in (2, 3)]
    review.suggest("proposal", proposals)
    review.suggest("proposal", [candidate(4, kind="proposal")])
    shown = review.candidates()
    assert [item.kind for item in shown] == ["label-error", "proposal", "proposal"], "one a picture"
    assert {item.sha256 for item in shown} == {candidate(number).sha256 for number in (2, 3, 4)}


def test_a_picture_is_named_by_the_beginning_of_its_digest(review: Review) -> None:
    review.suggest("label-error", [candidate(1)])
    assert review.candidate(candidate(1).sha256[:8].upper()) == candidate(1)
    with pytest.raises(NotFoundError, match="no suggestion for it in this version"):
        review.candidate("f" * 12)
    with pytest.raises(InputError, match="give 6 digits"):
        review.candidate(candidate(1).sha256[:5])


def test_a_decision_reads_as_a_sentence_and_back_from_its_line(review: Review) -> None:
    (decision,) = review.record([decision_on(candidate(1), "relabel", "ada")])
    assert str(decision) == f"{decision.sha256[:12]} becomes 'b' (ada)"
    assert Decision.model_validate(json.loads((review.folder / "decisions.jsonl").read_text())) == decision
