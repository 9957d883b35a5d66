"""What was taught in the page is imported by its document: labels of any text, takes as groups, and nothing half right."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "training" / "foreign")]
from odd_pictures import read
from taught_world import FRAMES, LABELS, TAKES, Handover, base_bundle, teach, zipped

from pipelines.data.importing import taught
from registry.errors import InputError


@pytest.fixture(scope="module")
def handover(tmp_path_factory: pytest.TempPathFactory) -> Handover:
    return teach(base_bundle(tmp_path_factory.mktemp("base") / "bundle"))


def test_labels_come_from_the_document_and_a_take_lies_in_one_split(handover: Handover, tmp_path: Path) -> None:
    path = handover.write(tmp_path / "hand-taught.zip")
    data, left_out, notes = read(path, tmp_path / "data")
    manifest = data.manifest
    assert manifest.labels == sorted(LABELS)
    assert (manifest.groups, manifest.format, manifest.split_from) == ("known", "taught", "dealt")
    assert left_out == {}
    assert len(manifest.frames) == len(LABELS) * TAKES * FRAMES
    named = {image["file"]: image for image in handover.document["images"]}
    splits = defaultdict[str, set[str]](set)
    for row in manifest.frames:
        assert row.label == named[row.source]["label"]
        assert row.clip.startswith(named[row.source]["take"])
        splits[row.clip].add(row.split)
    assert len(splits) == len(LABELS) * TAKES
    assert all(len(where) == 1 for where in splits.values())
    assert any("hand/7" in note and "right there on 3 takes held out" in note for note in notes)


def test_an_unpacked_file_and_one_within_a_folder_are_read_alike(handover: Handover, tmp_path: Path) -> None:
    digest = read(handover.write(tmp_path / "plain.zip"), tmp_path / "first")[0].manifest.digest
    inner = {f"hand-taught/{name}": content for name, content in handover.pictures.items()}
    inner["hand-taught/taught.json"] = json.dumps(handover.document).encode()
    assert read(zipped(tmp_path / "inner.zip", inner), tmp_path / "second")[0].manifest.digest == digest
    for name, content in inner.items():
        (tmp_path / "unpacked" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "unpacked" / name).write_bytes(content)
    assert read(tmp_path / "unpacked", tmp_path / "third")[0].manifest.digest == digest


def test_takes_of_another_session_are_not_taken_for_those_of_the_same_number(handover: Handover, tmp_path: Path) -> None:
    """The page counts takes from 1 again once its pictures were deleted; a picture stays in its take and split."""
    before = read(handover.write(tmp_path / "a.zip"), tmp_path / "a")[0].manifest
    pictures = dict(zip(handover.pictures, reversed(handover.pictures.values()), strict=True))
    after = read(Handover(handover.document, pictures).write(tmp_path / "b.zip"), tmp_path / "b")[0].manifest
    assert not {row.clip for row in before.frames} & {row.clip for row in after.frames}


def test_what_the_document_does_not_name_is_listed(handover: Handover, tmp_path: Path) -> None:
    more = {"class-01/stray.jpg": next(iter(handover.pictures.values())), "notes.txt": b"hello", "head.bin": b"\0"}
    path = Handover(handover.document, handover.pictures | more).write(tmp_path / "x.zip")
    data, left_out, _ = read(path, tmp_path / "data")
    assert left_out == {
        "class-01/stray.jpg": "taught.json does not name it",
        "notes.txt": "is no picture",
        "head.bin": "is no picture",
    }
    assert len(data.manifest.frames) == len(handover.pictures)


def test_a_jobs_pattern_for_other_pictures_does_not_touch_takes(handover: Handover, tmp_path: Path) -> None:
    path = handover.write(tmp_path / "x.zip")
    plain = read(path, tmp_path / "a")[0].manifest.digest
    assert read(path, tmp_path / "b", group=r"^(s\d+)_")[0].manifest.digest == plain


def test_classes_of_too_few_takes_are_named(tmp_path: Path) -> None:
    handover = teach(base_bundle(tmp_path / "bundle"), takes=2)
    with pytest.raises(InputError, match="class 'dusk': was recorded in 2 takes, and train, val and test want one each"):
        read(handover.write(tmp_path / "x.zip"), tmp_path / "data")


@pytest.mark.parametrize("bad", ["../x.jpg", "/etc/passwd", "class-01/../../x.jpg", "class-01/none.jpg", "", "class-01"])
def test_a_picture_that_is_named_and_not_there_is_refused(bad: str, handover: Handover, tmp_path: Path) -> None:
    images = [{**handover.document["images"][0], "file": bad}, *handover.document["images"]]
    with pytest.raises(InputError, match="which is not beside it; export it again"):
        read(handover.write(tmp_path / "x.zip", images=images), tmp_path / "data")


@pytest.mark.parametrize(
    ("label", "why"),
    [("a/b", "cannot be a folder's"), ("a\nb", "line break or a control"), ("x" * 256, "cannot be a folder's")],
)
def test_a_label_that_no_folder_can_have_is_one_line(label: str, why: str, handover: Handover, tmp_path: Path) -> None:
    text = json.dumps(handover.document).replace(json.dumps(LABELS[0]), json.dumps(label))
    members = {**handover.pictures, "taught.json": text.encode()}
    with pytest.raises(InputError, match=why) as caught:
        read(zipped(tmp_path / "x.zip", members), tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_labels_that_differ_by_their_unicode_form_alone_stay_two_classes(tmp_path: Path) -> None:
    labels = ("caf\u00e9", "cafe\u0301", "🖐️ 手")
    handover = teach(base_bundle(tmp_path / "bundle"), labels)
    data = read(handover.write(tmp_path / "x.zip"), tmp_path / "data")[0]
    assert data.manifest.labels == sorted(labels)
    assert len({row.file for row in data.manifest.frames}) == len(handover.pictures)
    data.verify()


def changed(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one part of a document."""

    def change(document: dict[str, Any]) -> None:
        part: Any = document
        for key in path[:-1]:
            part = part[key]
        if to is KeyError:
            del part[path[-1]]
        else:
            part[path[-1]] = to

    return change


WRONG = {
    "an unknown format": (changed("format", to=2), "is of format 2, and format 1 is known"),
    "no format": (changed("format", to=KeyError), "is not what the page writes"),
    "no base": (changed("base", to=KeyError), "missing required field `base`"),
    "a base of no version": (changed("base", "version", to=0), "names no version and bundle"),
    "a base of no digest": (changed("base", "bundle", to="../../etc"), "names no version and bundle"),
    "a base of no name": (changed("base", "model", to="../hand"), "names no model"),
    "no labels": (changed("labels", to=[]), "names 0 classes"),
    "a label twice": (changed("labels", 1, to=LABELS[0]), f"names the class '{LABELS[0]}' twice"),
    "one label more": (changed("labels", to=[*LABELS, "fourth"]), "has 3 biases for 4 classes"),
    "one label less": (changed("labels", to=list(LABELS[:2])), "has 3 biases for 2 classes"),
    "labels that are none": (changed("labels", to="dusk"), "is not what the page writes"),
    "another label": (changed("labels", 0, to="other"), "which it does not list"),
    "a kernel that lacks a number": (changed("head", "kernel", to=[0.5] * 35), "which are no rows of 3 classes"),
    "no kernel": (changed("head", "kernel", to=[]), "which are no rows"),
    "a number that is null": (changed("head", "kernel", 3, to=None), "Expected `float`, got `null`"),
    "a number that is NaN": (changed("head", "kernel", 3, to=float("nan")), "is not what the page writes"),
    "a number that is infinite": (changed("head", "bias", 0, to=float("inf")), "is not what the page writes"),
    "a number beyond float32": (changed("head", "bias", 0, to=1e39), "in its bias that is no float32"),
    "an accuracy above 1": (changed("training", "accuracy", to=1.5), "which is no share"),
    "a take that was never recorded": (changed("training", "held_out", 0, to="take-999"), "of which it has no picture"),
    "a picture twice": (changed("images", 1, "file", to="class-01/take-001/00000.jpg"), "names the picture .* twice"),
    "no take": (changed("images", 1, "take", to=" "), "names no take of"),
    "no pictures": (changed("images", to=[]), "has no picture of the class"),
    "no answers": (changed("checks", to=[]), "has no answers of the page"),
    "an answer for nothing": (changed("checks", 0, "file", to="x.jpg"), "which is none of its pictures"),
    "an answer too short": (changed("checks", 0, "probabilities", to=[0.5, 0.5]), "an answer of 2 numbers for 3 classes"),
    "an answer that sums to 2": (changed("checks", 0, "probabilities", to=[1, 1, 0]), "no row of probabilities"),
    "an answer below 0": (changed("checks", 0, "probabilities", to=[1.5, -0.5, 0]), "no row of probabilities"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_document_whose_parts_do_not_fit_is_one_line(what: str, handover: Handover, tmp_path: Path) -> None:
    change, why = WRONG[what]
    document = json.loads(json.dumps(handover.document))
    change(document)
    with pytest.raises(InputError, match=why) as caught:
        read(zipped(tmp_path / "x.zip", {**handover.pictures, "taught.json": json.dumps(document).encode()}), tmp_path / "data")
    assert str(caught.value).startswith(f"{tmp_path / 'x.zip'}: taught.json: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"\xff\xfe", b"{" * 9, b'{"format":' + b"[" * 100_000, b'{"format":1e999}']
)
def test_a_document_that_is_no_json_of_ours_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "taught.json").write_bytes(content)
    with pytest.raises(InputError, match="is not what the page writes"):
        taught.read_document(tmp_path / "taught.json", "x.zip")


def test_a_document_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taught, "MOST_BYTES", 10)
    (tmp_path / "taught.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="has 13 bytes, more than 10"):
        taught.read_document(tmp_path / "taught.json", "x.zip")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_may_be_anything_and_the_answer_is_one_line_or_sound(
    data: st.DataObject, handover: Handover, tmp_path: Path
) -> None:
    """Whatever is put into the place of any part: it is refused in one line, or what is read fits together."""
    document = json.loads(json.dumps(handover.document))
    part: Any = document
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = data.draw(st.sampled_from(keys))
        inner = part[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        part = inner
    part[key] = data.draw(JSON)
    (tmp_path / "taught.json").write_text(json.dumps(document), encoding="utf-8", errors="surrogatepass")
    try:
        document = taught.read_document(tmp_path / "taught.json", "x.zip")
    except InputError as error:
        refusal = str(error)
    else:
        refusal = ""
    assert refusal.isprintable()
    if refusal:
        return
    kernel = np.asarray(document.head.kernel, np.float32).reshape(-1, len(document.labels))
    assert np.isfinite(kernel).all()
    assert {image.label for image in document.images} == set(document.labels)
    assert all(len(check.probabilities) == len(document.labels) for check in document.checks)
