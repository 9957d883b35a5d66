"""What a data check says: a sentence about the user's data that stays short and plain, whatever the data is."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from checked_world import BROKEN, sound_data, with_frames

from registry.errors import InputError
from validation.data import suite
from validation.data.catalogue import CHECKS, CheckLevels
from validation.data.class_names import flaws
from validation.data.rule import Rule
from validation.data.suite import RULES, _measure, check_data
from validation.data.table import CheckedBox, CheckedData, CheckedFrame, box_table

INTERNALS = re.compile(r"expect_|min_value|max_value|\bcolumn|mostly|value_set|\bnan\b|\bNone\b|unexpected|<|>|Timestamp|dtype")
LONGEST = 700
NAMES = st.text(max_size=300).filter(lambda text: not re.search(r"expect_|nan|None|column|mostly|<|>", text))
PART = st.floats(-0.5, 1.5) | st.just(float("nan"))


def sentences(data: CheckedData) -> list[str]:
    return [_measure(RULES[name], data).text for name, check in CHECKS.items() if name in RULES and data.task in check.tasks]


@pytest.mark.parametrize("check", BROKEN)
def test_thousands_of_failing_pictures_make_no_longer_a_sentence(check: str) -> None:
    task, spoil, sentence = BROKEN[check]
    data = spoil(sound_data(task))
    names = [f"{'very-long-name-' * 20}{index}.jpg" for index in range(len(data.frames))]
    many = replace(data, frames=data.frames.assign(file=names))
    text = _measure(RULES[check], many).text
    assert len(text) < LONGEST, text
    assert len(text) < len(sentence) + 130


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_data_set_breaks_a_sentence(draw: st.DataObject) -> None:
    labels = draw.draw(st.lists(NAMES, min_size=1, max_size=4))
    task = draw.draw(st.sampled_from(["classify", "detect"]))
    count = draw.draw(st.integers(1, 12))
    figure = st.one_of(st.none(), st.floats(0, 255))
    rows, frames = [], []
    for index in range(count):
        label = draw.draw(st.sampled_from([*labels, "other"]))
        boxes = draw.draw(st.lists(st.builds(CheckedBox, st.sampled_from(labels), PART, PART, PART, PART), max_size=4))
        identity = [
            draw.draw(st.sampled_from("ab")),
            draw.draw(st.sampled_from(["c", "$1_$2"])),
            draw.draw(st.sampled_from("de")),
        ]
        split = draw.draw(st.sampled_from(["train", "val", "test", "x"]))
        width, height = draw.draw(st.integers(1, 9000)), draw.draw(st.integers(1, 9000))
        frames.append(CheckedFrame(Path(f"{index}.jpg"), *identity, label, split, width, height, boxes))
        looks = {
            name: draw.draw(figure)
            for name in ("dark", "bright", "contrast", "sharpness", "brightness", "redness", "blueness", "saturation")
        }
        row = dict(zip(("sha256", "clip", "clip_sha256"), identity, strict=True)) | {"file": f"{index}.jpg", "split": split}
        rows.append(row | looks | {"label": "" if task == "detect" else label, "width": width, "height": height})
    data = CheckedData(
        labels,
        pd.DataFrame(rows),
        box_table(frames if task == "detect" else []),
        task=task,
        groups_known=draw.draw(st.booleans()),
    )
    for text in sentences(data):
        assert not INTERNALS.search(text), text
        assert len(text) < LONGEST
        assert "\n" not in text


@pytest.mark.parametrize("check", BROKEN)
def test_every_failure_says_what_to_do_and_how_much_is_wanted(check: str) -> None:
    sentence = BROKEN[check][2]
    assert ": " in sentence, "a remedy follows a colon"
    assert not INTERNALS.search(sentence)
    assert sentence == sentence.strip()
    assert not sentence.endswith(".")


def test_data_docs_show_the_sentences_and_no_expectation(tmp_path: Path) -> None:
    data = with_frames(sound_data(), [0], label="$1_$column")
    report = check_data(data, CheckLevels(), tmp_path)
    pages = [path.read_text() for path in report.docs.rglob("*.html")]
    page = next(page for page in pages if "the classes are bowl, cup, fork" in page)
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "has the label '$1_$column'" in words
    assert "film" in words or "every picture can be read" in words
    assert not re.search(r"expect_column|min_value|values must be|values must not", words)


def test_a_check_that_great_expectations_cannot_make_has_failed_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Rule("blur", lambda data: data.frames["file"], lambda _: "sharp", lambda *_: "blurred", least=0)
    monkeypatch.setattr(Rule, "outside", lambda self, figures: pd.Series(data=False, index=figures.index))
    monkeypatch.setitem(suite.RULES, "blur", broken)
    report = check_data(sound_data(), CheckLevels("off", {"blur": "strict"}), tmp_path)
    (finding,) = report.errors
    assert re.fullmatch(r"the check blur was not completed \(.+\): run `modelyard check --check blur` again", finding.text)


def test_great_expectations_falling_over_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fall(*_: object) -> None:
        raise KeyError("batch\nof frames")

    monkeypatch.setattr(suite, "_run", fall)
    with pytest.raises(InputError, match="Great Expectations stopped") as caught:
        check_data(sound_data(), CheckLevels(), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (" cup", "blank"), ("", "blank"), ("cu\u200bp", "invisible"), ("a" * 101, "100 characters"), ("cup/bowl", "folder"),
        ("CON", "folder"), ("nul.txt", "folder"), ("a.", "folder"), ("what?", "folder"), ("=1+1", "formula"), ("@cup", "formula"),
        ("cup, red", "comma"), ("None", "no text"), ("nan", "no text"), ("Yes", "no text"),
    ],
)  # fmt: skip
def test_a_class_name_that_some_place_changes_is_named(name: str, why: str) -> None:
    ((label, reason),) = flaws(["bowl", name])
    assert label == name
    assert why in reason


def test_names_that_some_places_take_for_one_are_named_and_good_ones_are_not() -> None:
    assert [label for label, _ in flaws(["Cup", "cup", "bowl"])] == ["Cup", "cup"]
    assert [label for label, _ in flaws(["not_hand", "not hand"])] == ["not_hand", "not hand"]
    assert [label for label, _ in flaws(["é", "e\u0301"])] == ["é", "e\u0301"]
    assert (
        flaws(["0", "10", "2", "n01440764", "$1_$2", "яблоко", "手", "😀", "no hand", "b&w", "it's", "a.b", "not_hand"]) == []
    )


def test_a_figure_that_is_missing_everywhere_passes_what_is_not_about_it() -> None:
    names = ("dark", "bright", "contrast", "sharpness", "brightness", "redness", "blueness", "saturation")
    data = with_frames(sound_data(), slice(None), **dict.fromkeys(names, np.nan))
    assert {text for text in sentences(data) if "cannot be read" in text}
    assert not [text for text in sentences(data) if INTERNALS.search(text)]
