"""What a review decided becomes the next version: nothing else changes, no split moves, and what is built again keeps it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from reviewing import apply, by_digest, candidate, choose, current, review_of, suggest
from shapes import build, draw, draw_takes, quiet

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import SOURCES, DataSet, open_dataset
from pipelines.data.labels.revise import apply_review
from pipelines.job.jobfile import Data
from registry.errors import BusyError, DamagedFileError, InputError, NotFoundError
from registry.reports.reviews import Review, decision_on


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pictures, and a home with a data set of them; nobody changes either."""
    folder = tmp_path_factory.mktemp("made")
    images = draw_takes(folder / "images", takes=6, pictures=2)
    build(folder / "home", images)
    return images, folder / "home"


@pytest.fixture
def images(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "images"))


@pytest.fixture
def home(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "home"))


def test_decisions_become_the_next_version_and_the_one_before_stays(home: Path) -> None:
    before, (first, second, third, fourth, *_) = current(home), suggest(home)
    choose(home, accept=[first.sha256], reject=[second.sha256], drop=[third.sha256], relabel=[f"{fourth.sha256}=square"])
    revision = apply(home)
    assert dict(revision.counts) == {"relabelled": 2, "dropped": 1}
    after = current(home)
    after.verify()
    assert (after.manifest.version, after.manifest.parent) == (2, before.manifest.digest)
    rows = by_digest(after)
    assert (rows[first.sha256].label, rows[second.sha256].label) == (first.suggested, second.label)
    assert (rows[fourth.sha256].label, third.sha256 in rows) == ("square", False)
    DatasetCatalog(home / "datasets").find(before.manifest.digest, "hand/1").verify()


def test_applying_twice_makes_one_version_and_so_does_a_review_that_keeps_everything(home: Path) -> None:
    first, second, *_ = suggest(home)
    choose(home, reject=[second.sha256])
    assert apply(home).data.manifest.version == 1
    choose(home, accept=[first.sha256])
    digest = apply(home).data.manifest.digest
    again = apply(home)
    assert (again.data.manifest.digest, again.counts) == (digest, {})


def _refusal(home: Path) -> str:
    """Why a review could not be applied; empty where it was."""
    try:
        apply(home)
    except InputError as error:
        return str(error)
    return ""


_ACTIONS = st.lists(st.tuples(st.integers(0, 35), st.sampled_from(["accept", "reject", "drop", "undo"])), max_size=12)


@settings(max_examples=15)
@given(choices=_ACTIONS)
def test_no_decision_moves_a_split_or_touches_another_picture(made: tuple[Path, Path], choices: list[tuple[int, str]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        home = Path(shutil.copytree(made[1], Path(folder) / "home"))
        before, candidates = by_digest(current(home)), suggest(home)
        for number, action in choices:
            choose(home, **{action: [candidates[number].sha256]})
        decided = review_of(home).decisions()
        if refused := _refusal(home):
            assert "has no group left for" in refused
            assert by_digest(current(home)) == before, "a refusal changes nothing"
            return
        after = by_digest(current(home))
        for digest, row in before.items():
            decision = decided.get(digest)
            if decision and decision.action == "drop":
                assert digest not in after
            elif decision and decision.action == "relabel":
                changed = {"label": decision.label, "file": after[digest].file}
                assert after[digest] == row.model_copy(update=changed)
            else:
                assert after[digest] == row
        assert after.keys() <= before.keys()
        current(home).verify()


def test_a_picture_that_was_decided_about_stays_so_when_the_data_set_is_built_again(home: Path, images: Path) -> None:
    first, second, *_ = suggest(home)
    choose(home, accept=[first.sha256], drop=[second.sha256])
    apply(home)
    reviewed = current(home).manifest
    assert build(home, images).manifest == reviewed, "nothing else changed: it is the same version"
    draw("bar", 50, 9).save(images / "bar" / "take50_bar_9.png")
    again = build(home, images)
    assert (again.manifest.version, len(again.manifest.frames)) == (3, len(reviewed.frames) + 1)
    rows = by_digest(again)
    assert (rows[first.sha256].label, second.sha256 in rows) == (first.suggested, False)
    assert json.loads((again.folder / SOURCES).read_text())["review_unmet"] == 0


def test_a_later_review_overrules_an_earlier_one(home: Path, images: Path) -> None:
    first = suggest(home)[0]
    choose(home, accept=[first.sha256])
    apply(home)
    review_of(home).suggest("label-error", [candidate(by_digest(current(home))[first.sha256], first.label)])
    choose(home, accept=[first.sha256])
    assert apply(home).data.manifest.version == 3
    assert by_digest(build(home, images))[first.sha256].label == first.label


def test_decisions_of_clips_hold_for_the_same_frames_and_others_are_counted(clips: Path, tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    folder = catalog.folder_of("hand")
    catalog.build(Data(clips=clips), folder, quiet)
    row = open_dataset(folder).manifest.frames[0]
    other = next(label for label in open_dataset(folder).manifest.labels if label != row.label)
    review = Review.of(tmp_path, open_dataset(folder).manifest.digest)
    review.record([decision_on(candidate(row, other), "relabel", "ada")])
    apply_review(folder, tmp_path, quiet)
    catalog.build(Data(clips=clips), folder, quiet)
    assert by_digest(open_dataset(folder))[row.sha256].label == other
    short = Path(shutil.copytree(clips, tmp_path / "short"))
    next((short / row.label).glob(f"*{Path(row.clip).stem}*")).unlink()
    catalog.build(Data(clips=short), folder, quiet)
    assert json.loads((folder / SOURCES).read_text())["review_unmet"] == 1


def test_pictures_of_one_name_in_two_classes_do_not_meet(home: Path, images: Path) -> None:
    shutil.copy(images / "disc" / "take100_disc_0.png", images / "bar" / "same.png")
    shutil.copy(images / "disc" / "take101_disc_0.png", images / "square" / "same.png")
    shutil.copy(images / "disc" / "take101_disc_0.png", images / "disc" / "same.png")
    build(home, images, group=None)
    square = next(row for row in current(home).manifest.frames if row.file.split("/")[1:] and "square/same" in row.file)
    review_of(home).suggest("label-error", [candidate(square, "disc")])
    choose(home, accept=[square.sha256])
    apply(home)
    current(home).verify()
    assert all(row.label == "disc" for row in current(home).manifest.frames if row.sha256 == square.sha256)
    build(home, images, group=None).verify()


def test_a_class_is_not_emptied_of_a_split(home: Path) -> None:
    suggest(home)
    rows = [row for row in current(home).manifest.frames if (row.split, row.label) == ("test", "bar")]
    choose(home, drop=[row.sha256 for row in rows])
    before = current(home).manifest
    with pytest.raises(InputError, match="class 'bar' has no group left for 'test'"):
        apply(home)
    assert current(home).manifest == before


def test_what_cannot_be_decided_is_one_line_and_records_nothing(home: Path) -> None:
    first, second, *_ = suggest(home)
    cases = [
        ({"accept": [first.sha256], "drop": [first.sha256]}, InputError, "decided in two ways"),
        ({"accept": [second.sha256, "0123456789"]}, NotFoundError, "no suggestion"),
        ({"relabel": [f"{first.sha256}=cat"]}, InputError, "bar, disc, square"),
        ({"relabel": [first.sha256]}, InputError, "SHA=CLASS"),
        ({"accept_clips": ["take77"]}, NotFoundError, "nothing is suggested for it"),
    ]
    for choices, kind, message in cases:
        with pytest.raises(kind, match=message):
            choose(home, **choices)
    assert review_of(home).decisions() == {}


def test_a_whole_clip_is_accepted_at_once(home: Path) -> None:
    suggest(home)
    row = next(row for row in current(home).manifest.frames if row.split == "train")
    choose(home, accept_clips=[row.clip])
    assert len(review_of(home).decisions()) == sum(other.clip == row.clip for other in current(home).manifest.frames)


def test_a_decision_for_a_class_that_is_gone_is_refused(home: Path) -> None:
    row = current(home).manifest.frames[0]
    review_of(home).record([decision_on(candidate(row, "cat"), "relabel", "ada")])
    with pytest.raises(InputError, match="no class 'cat'"):
        apply(home)


def test_damaged_decisions_and_a_data_set_that_changes_meanwhile_change_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = suggest(home)[0]
    choose(home, accept=[first.sha256])
    before = current(home).manifest
    decisions = review_of(home).folder / "decisions.jsonl"
    content = decisions.read_bytes()
    decisions.write_bytes(content + b"{}\n")
    with pytest.raises(DamagedFileError, match="line 2"):
        apply(home)
    decisions.write_bytes(content)
    from pipelines.data.labels import revise

    other = DataSet(Path("x"), before.model_copy(update={"version": 9}))
    answers = iter([current(home), other])
    with monkeypatch.context() as patch:
        patch.setattr(revise.DatasetCatalog, "resolve", lambda *_: next(answers))
        with pytest.raises(BusyError, match="another version meanwhile"):
            apply(home)
    (current(home).folder / SOURCES).write_text('{"review": [1]}')
    with pytest.raises(DamagedFileError, match="decisions of a review"):
        apply(home)
    assert current(home).manifest == before
