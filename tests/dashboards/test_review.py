"""The review page: what is suggested is shown to all, and decided only where the dashboard was started for that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from worlds import DASHBOARDS, MARKUP, make_data, page, words

from dashboards.datasets import local_datasets
from dashboards.reviews import picture_of, record, reviewable, reviewer, undecided
from registry.errors import DamagedFileError
from registry.reports.reviews import REVIEWER, Candidate, ProposedBox, Review, decision_on


def candidate(number: int, **changes) -> Candidate:
    fields = {"kind": "label-error", "file": f"train/a/{number}.jpg", "sha256": f"{number:064x}", "clip": f"a-train-{number}"}
    fields |= {"split": "train", "label": "a", "suggested": "b", "score": 0.97, "by": "cleanlab"}
    return Candidate(**(fields | changes))


@pytest.fixture
def review(home: Path) -> Review:
    """Three suggestions about a data set."""
    made = Review.of(home, make_data(home, ("a", "b", "c")))
    made.suggest("label-error", [candidate(1), candidate(2, whole_clip=True)])
    box = ProposedBox(label="b", left=0.1, top=0.1, right=0.6, bottom=0.7, score=0.8)
    made.suggest("proposal", [candidate(3, kind="proposal", label="", boxes=(box,))])
    return made


@pytest.fixture
def reviewing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `modelyard dashboard --review` starts it, and as a browser on this machine asks for the page."""
    monkeypatch.setenv(REVIEWER, "ada")
    browse(monkeypatch, "127.0.0.1:8501")


def browse(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr("streamlit.runtime.context.ContextProxy.headers", property(lambda _: {"Host": host}))


def press(shown: AppTest, key: str) -> AppTest:
    next(button for button in shown.button if button.key == key).click()
    return shown.run()


def buttons(shown: AppTest) -> set[str]:
    return {str(button.key) for button in shown.button}


def test_without_a_reviewer_the_page_only_shows(review: Review) -> None:
    shown = page("review")
    assert not shown.exception
    assert "Labelled a, suggested: b" in words(shown)
    assert "modelyard dashboard --review" in words(shown)
    assert buttons(shown) == set()


@pytest.mark.parametrize("host", ["evil.example:8501", "evil.example", "127.0.0.1.evil.example:80", "192.168.1.5:8501", ""])
def test_a_name_that_was_made_to_lead_here_decides_nothing(review: Review, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv(REVIEWER, "ada")
    browse(monkeypatch, host)
    assert buttons(page("review")) == set()
    assert reviewer(host) == ""
    assert reviewer("localhost:8501") == reviewer("[::1]:8501") == reviewer("127.0.0.1") == "ada"


@pytest.mark.usefixtures("reviewing")
def test_each_choice_is_one_recorded_decision_and_the_next_picture_follows(review: Review) -> None:
    shown = press(page("review"), "relabel")
    assert "Nearly all pictures of this clip" in words(shown)
    shown = press(shown, "keep")
    assert "1 box proposed: b" in words(shown)
    shown = press(shown, "relabel")
    assert "Everything is decided" in words(shown)
    decisions = review.decisions()
    assert [(item.action, item.label, item.who) for item in decisions.values()] == [
        ("relabel", "b", "ada"),
        ("keep", "", "ada"),
        ("relabel", "b", "ada"),
    ]
    assert len(decisions[f"{3:064x}"].boxes or ()) == 1


@pytest.mark.usefixtures("reviewing")
def test_a_decision_is_taken_back_and_a_picture_is_put_off_or_dropped(review: Review) -> None:
    shown = press(page("review"), "drop")
    assert review.decisions()[f"{1:064x}"].action == "drop"
    shown = press(shown, "undo")
    assert review.decisions() == {}
    shown = press(shown, "later-button")
    assert "a-train-2" in words(shown)
    assert "undo" not in buttons(shown)


@pytest.mark.usefixtures("reviewing")
def test_another_class_is_chosen_from_the_data_set_s_own(review: Review) -> None:
    shown = page("review")
    assert next(button for button in shown.button if button.key == "other").disabled
    (other,) = [box for box in shown.selectbox if box.label == "Another class"]
    assert other.options == ["c"]
    press(other.set_value("c").run(), "other")
    assert review.decisions()[f"{1:064x}"].label == "c"


@pytest.mark.usefixtures("reviewing")
def test_a_new_picture_is_taken_or_left_out_and_lies_in_the_review(home: Path, review: Review) -> None:
    from PIL import Image

    review.pictures.mkdir()
    Image.new("RGB", (9, 9)).save(review.pictures / "new.png")
    new = candidate(9, kind="proposal", file="pictures/new.png", clip="inbox/new.png", split="", label="", is_new=True)
    review.suggest("label-error", [])
    review.suggest("proposal", [new])
    for number in (3,):
        review.record([decision_on(candidate(number), "keep", "ada")])
    shown = page("review")
    assert "Proposed: b" in words(shown)
    assert "drop" not in buttons(shown)
    press(shown, "relabel")
    assert review.decisions()[new.sha256].label == "b"
    (dataset,) = local_datasets(home)
    assert picture_of(dataset, review, new) is not None


def test_no_list_shows_another_file_of_this_machine(home: Path, review: Review) -> None:
    (dataset,) = local_datasets(home)
    from PIL import Image

    Image.new("RGB", (9, 9)).save(home / "private.png")
    outside = ("../../private.png", str(home / "private.png"), "../../../private.png")
    for file in outside:
        assert picture_of(dataset, review, candidate(1, file=file)) is None
        assert picture_of(dataset, review, candidate(1, file=file, is_new=True)) is None
    assert picture_of(dataset, review, candidate(1)) is not None


@pytest.mark.usefixtures("reviewing")
def test_names_with_markup_and_lost_pictures_are_shown_as_text(home: Path, review: Review) -> None:
    review.suggest("label-error", [candidate(1, label=MARKUP, suggested=MARKUP, by=MARKUP, clip=MARKUP, file=MARKUP)])
    shown = page("review")
    assert not shown.exception
    assert "The picture is not on this machine" in words(shown)
    assert all("<script>" not in item.value.replace("\\<script\\>", "") for item in shown.subheader)


@pytest.mark.parametrize("content", [b"{}\n", b"[1]\n"])
def test_a_damaged_review_is_one_line(review: Review, content: bytes) -> None:
    (review.folder / "decisions.jsonl").write_bytes(content)
    shown = AppTest.from_file(str(DASHBOARDS / "app.py"), default_timeout=60)
    shown.switch_page("views/review.py").run()
    assert not shown.exception
    assert "line 1 is not a decision" in shown.error[0].value.replace("\\", "")
    with pytest.raises(DamagedFileError):
        review.decisions()


def test_nobody_records_nothing(review: Review) -> None:
    record(review, candidate(1), "drop", "")
    assert review.decisions() == {}


def test_what_was_put_off_comes_last_and_what_is_decided_not_at_all() -> None:
    three = [candidate(number) for number in (1, 2, 3)]
    decisions = {three[1].sha256: decision_on(three[1], "keep", "ada")}
    assert undecided(three, decisions, {three[0].sha256}) == [three[2], three[0]]


def test_a_data_set_elsewhere_is_reviewed_by_its_digest(home: Path, review: Review) -> None:
    kept = home / "datasets" / "by-digest" / review.folder.name
    kept.parent.mkdir()
    (home / "datasets" / "hand").rename(kept)
    assert list(reviewable(home)) == [review.folder.name[:12]]
    (kept / "manifest.json").write_text(json.dumps([]))
    assert reviewable(home) == {}


def test_only_the_review_page_records_anything() -> None:
    writers = [
        path.name for path in DASHBOARDS.rglob("*.py") if "record(" in path.read_text() or ".suggest(" in path.read_text()
    ]
    assert sorted(writers) == ["review.py", "reviews.py"]
