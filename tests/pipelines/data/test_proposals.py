"""What a model proposes is marked as a proposal, lies within the picture, and is of the data set's classes."""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from shapes import build, draw_takes, quiet

from pipelines.data.dataset import MANIFEST, DataSet
from pipelines.data.labels import propose
from pipelines.data.labels.propose import Asked, load_proposer, propose_for, propose_new
from registry.errors import InputError, NotFoundError, UnavailableError
from registry.reports.reviews import Review


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    folder = tmp_path_factory.mktemp("made")
    return build(folder / "home", draw_takes(folder / "images", takes=4, pictures=1))


@pytest.fixture(scope="module")
def detects(data: DataSet) -> DataSet:
    rows = [row.model_copy(update={"label": "", "boxes": ()}) for row in data.manifest.frames]
    return DataSet(data.folder, data.manifest.model_copy(update={"task": "detect", "frames": rows}))


def asked(answer: object, least: float = 0.5) -> Asked:
    return Asked(lambda _: answer, "hand/3", least)


def boxes(*sides: tuple[float, ...], label: str = "disc", score: float = 0.9) -> dict[str, object]:
    return {"label": label, "probability": score, "boxes": [{"label": label, "score": score, "box": box} for box in sides]}


def test_another_class_is_proposed_and_nothing_in_the_data_set_is_touched(data: DataSet) -> None:
    before = (data.folder / MANIFEST).read_bytes()
    proposals = propose_for(data, asked({"label": "disc", "probability": 0.9}), quiet)
    assert {item.label for item in proposals.candidates} == {"bar", "square"}
    assert {(item.suggested, item.by, item.kind, item.is_new) for item in proposals.candidates} == {
        ("disc", "hand/3", "proposal", False)
    }
    assert proposals.skipped == {"agrees with its label": 4}
    assert (data.folder / MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"label": "disc", "probability": 0.4}, "less sure than 0.5"),
        ({"label": "disc", "probability": math.nan}, "less sure than 0.5"),
        ({"label": "cat", "probability": 0.9}, "of a class that the data set does not have"),
        ({"label": "nothing", "probability": 0.0}, "less sure than 0.5"),
    ],
)
def test_what_is_no_proposal_is_counted_by_its_reason(data: DataSet, answer: object, why: str) -> None:
    proposals = propose_for(data, asked(answer), quiet)
    assert (proposals.candidates, proposals.skipped) == ([], {why: 12})


def test_a_detector_proposes_boxes_as_shares_of_the_picture(detects: DataSet) -> None:
    proposals = propose_for(detects, asked(boxes((16, 32, 48, 64), (-5, -5, 80, 80))), quiet)
    assert len(proposals.candidates) == 12
    first, second = proposals.candidates[0].boxes or ()
    assert (first.left, first.top, first.right, first.bottom) == (0.25, 0.5, 0.75, 1.0)
    assert (second.left, second.top, second.right, second.bottom) == (0, 0, 1, 1), "cut at the picture's edge"


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4))
def test_no_box_leaves_the_picture_or_has_no_area(detects: DataSet, sides: list[float]) -> None:
    proposals = propose_for(detects, asked(boxes(tuple(sides))), quiet)
    for item in proposals.candidates:
        for box in item.boxes or ():
            assert 0 <= box.left < box.right <= 1
            assert 0 <= box.top < box.bottom <= 1
    assert len(proposals.candidates) + sum(proposals.skipped.values()) == 12


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (boxes(), "nothing detected with 0.5 or more"),
        (boxes((1, 1, 9, 9), score=0.3), "nothing detected with 0.5 or more"),
        (boxes((1, 1, 9, 9), label="cat"), "of a class that the data set does not have"),
        (boxes((100, 100, 200, 200)), "boxes outside of the picture"),
    ],
)
def test_boxes_that_are_no_proposal_are_counted(detects: DataSet, answer: object, why: str) -> None:
    assert propose_for(detects, asked(answer), quiet).skipped == {why: 12}


@pytest.mark.parametrize("answer", [{}, {"label": "disc"}, {"label": "disc", "probability": "high"}, {"boxes": [{}]}, None])
def test_a_proposer_that_answers_otherwise_is_one_line(data: DataSet, detects: DataSet, answer: object) -> None:
    for dataset in (data, detects):
        with pytest.raises(InputError, match="does not answer as this data set needs it"):
            propose_for(dataset, asked(answer), quiet)


def test_boxes_that_are_there_are_not_asked_about(data: DataSet, detects: DataSet) -> None:
    from pipelines.data.dataset import Box

    box = Box(label="disc", left=0, top=0, right=1, bottom=1)
    rows = [row.model_copy(update={"boxes": (box,)}) for row in detects.manifest.frames]
    labelled = DataSet(data.folder, detects.manifest.model_copy(update={"frames": rows}))
    assert propose_for(labelled, asked(boxes((1, 1, 9, 9))), quiet).candidates == []


def test_a_folder_without_pictures_is_one_line(data: DataSet, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    for folder, message in ((tmp_path, "holds no pictures"), (tmp_path / "none", "no such folder")):
        with pytest.raises(NotFoundError, match=message):
            propose_new(data, Review(tmp_path / "review"), folder, asked({}), quiet)
    assert not (tmp_path / "review").exists()


def test_a_proposer_of_another_package_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "modelyard.proposers"
        known = [EntryPoint("hands", "json:JSONDecoder", group), EntryPoint("heavy", "not_installed_anywhere:X", group)]
        return [entry for entry in known if name in {None, entry.name}]

    monkeypatch.setattr(propose, "entry_points", entries)
    assert isinstance(load_proposer("hands"), json.JSONDecoder)
    with pytest.raises(UnavailableError, match="not-installed-anywhere is not installed"):
        load_proposer("heavy")
    with pytest.raises(NotFoundError, match="installed: hands, heavy"):
        load_proposer("feet")
