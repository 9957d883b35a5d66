"""Data checks on real pictures and data sets: what a picture's figures mean, leakage, and the report that stays."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.checks import as_checked, check
from pipelines.data.dataset import Box, DataSet, FrameRow
from registry.errors import InputError, IntegrityError
from registry.files import read_json
from validation.data.catalogue import CHECKS, CheckLevels
from validation.data.pictures import measure_picture
from validation.data.suite import RULES

Picture = np.ndarray


def failed(report) -> dict[str, str]:
    return {finding.check: finding.text for finding in report.findings if not finding.passed}


def changed(data: DataSet, *rows: FrameRow, **fields: object) -> DataSet:
    return DataSet(data.folder, data.manifest.model_copy(update={"frames": list(rows or data.manifest.frames), **fields}))


def test_a_sound_data_set_holds_and_leaves_a_readable_report(dataset: DataSet, tmp_path: Path) -> None:
    report = check(dataset, tmp_path / "report")
    assert report.holds
    assert len(report.passed) >= 15
    assert "<html" in (report.docs / "index.html").read_text().lower()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    document = read_json(tmp_path / "report" / "report.json")
    assert document["dataset"] == dataset.manifest.digest
    assert {finding["outcome"] for finding in document["findings"]} <= {"holds", "warning"}
    assert {finding["check"] for finding in document["findings"]} == {f.check for f in report.findings}
    assert (document["off"], document["lowered"]) == ([], [])
    assert sum(document["spread"]["brightness"]["frames"]) == len(dataset.manifest.frames)


def test_a_clip_in_two_splits_is_leakage(dataset: DataSet, tmp_path: Path) -> None:
    first, *others = dataset.manifest.frames
    other = "val" if first.split != "val" else "train"
    report = check(changed(dataset, first.model_copy(update={"split": other}), *others), tmp_path / "r")
    assert first.clip in failed(report)["clip-leak"]
    assert not report.holds


def test_the_same_clip_under_two_names_is_leakage(dataset: DataSet, tmp_path: Path) -> None:
    digest = next(row.clip_sha256 for row in dataset.manifest.frames if row.split == "test")
    clip = next(row.clip for row in dataset.manifest.frames if row.split == "train")
    rows = [row.model_copy(update={"clip_sha256": digest}) if row.clip == clip else row for row in dataset.manifest.frames]
    assert clip in failed(check(changed(dataset, *rows), tmp_path / "r"))["clip-leak"]


def test_a_frame_whose_bytes_changed_is_named(dataset: DataSet, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(dataset.folder, tmp_path / "copy"))
    victim = copy / dataset.manifest.frames[3].file
    victim.write_bytes(victim.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=victim.name):
        check(DataSet(copy, dataset.manifest), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_a_data_set_without_frames_is_refused_in_one_line(dataset: DataSet, tmp_path: Path) -> None:
    empty = DataSet(dataset.folder, dataset.manifest.model_copy(update={"frames": []}))
    with pytest.raises(InputError, match="has no frames"):
        check(empty, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_with_all_checks_off_nothing_is_made_and_nothing_is_proven(dataset: DataSet, tmp_path: Path) -> None:
    report = check(dataset, tmp_path / "r", CheckLevels("off"))
    assert (report.checked, report.holds, list(report.findings)) == (False, False, [])
    assert "No data check was made" in (report.docs / "index.html").read_text()
    assert read_json(tmp_path / "r" / "report.json")["off"] == list(CHECKS)


def test_a_detection_data_set_is_checked_by_its_boxes(dataset: DataSet, tmp_path: Path) -> None:
    sides = {"left": 0.2, "top": 0.2, "right": 0.7, "bottom": 0.7}
    rows = [row.model_copy(update={"label": "", "boxes": (Box(label=row.label, **sides),)}) for row in dataset.manifest.frames]
    report = check(changed(dataset, *rows, task="detect"), tmp_path / "sound")
    assert report.holds
    assert {"boxes-outside", "tiny-objects", "class-empty"} <= {finding.check for finding in report.passed}
    rows[0] = rows[0].model_copy(update={"boxes": (Box(label="0", **sides | {"right": 1.3}), Box(label="9", **sides))})
    findings = failed(check(changed(dataset, *rows, task="detect"), tmp_path / "broken"))
    assert "right 1.3" in findings["boxes-outside"]
    assert "'9'" in findings["class-known"]


def _scene(seed: int, size: tuple[int, int] = (480, 640)) -> Picture:
    """Something with edges, texture and light, like a photograph."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(40, 220, (9, 12, 3), np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
    grain = rng.normal(0, 6, coarse.shape)
    return np.clip(coarse + grain, 0, 255).astype(np.uint8)


def _exposed(picture: Picture, factor: float) -> Picture:
    return np.clip(((picture / 255) ** 2.2 * factor) ** (1 / 2.2) * 255, 0, 255).astype(np.uint8)


SPOILT: dict[str, Callable[[Picture], Picture]] = {
    "too-dark": lambda picture: _exposed(picture, 1 / 64),
    "over-exposed": lambda picture: _exposed(picture, 64),
    "single-colour": lambda picture: np.full_like(picture, 90),
    "blur": lambda picture: cv2.GaussianBlur(picture, (0, 0), max(picture.shape) * 0.02),
}


@pytest.mark.parametrize("size", [(100, 100), (480, 640), (1080, 1920), (2000, 300)])
@pytest.mark.parametrize("fault", [None, *SPOILT])
def test_a_picture_is_judged_alike_at_every_size(fault: str | None, size: tuple[int, int], tmp_path: Path) -> None:
    picture = _scene(1, size)
    file = tmp_path / "picture.jpg"
    cv2.imwrite(str(file), SPOILT[fault](picture) if fault else picture)
    figures = measure_picture(file, size[1], size[0])
    columns = {"too-dark": "dark", "over-exposed": "bright", "single-colour": "contrast", "blur": "sharpness"}
    out = {name for name, column in columns.items() if _is_outside(name, float(figures[column]))}
    assert fault is None or fault in out
    assert out <= {fault, "single-colour"}


def _is_outside(name: str, figure: float) -> bool:
    rule = RULES[name]
    return (rule.least is not None and figure < rule.least) or (rule.most is not None and figure > rule.most)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0" + b"x" * 50])
def test_bytes_that_are_no_picture_have_no_figures(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    assert set(measure_picture(tmp_path / "x.jpg", 64, 64).values()) == {None}
    assert set(measure_picture(tmp_path / "gone.jpg", 64, 64).values()) == {None}


def test_real_photographs_split_by_signer_raise_no_alarm_and_a_changed_val_does(shared: Path, tmp_path: Path) -> None:
    """What docs/data-checks.md says of false alarms, on the smallest scale at which it can be seen."""
    import zipfile

    from pipelines.data.build import build_dataset
    from pipelines.job.jobfile import Data

    with zipfile.ZipFile(shared / "sign-digits.zip") as archive:
        signers = {f"s{number:03d}" for number in range(1, 41)}
        for name in archive.namelist():
            if name.endswith(".jpg") and Path(name).name.split("_")[0] in signers and Path(name).parent.name in "012":
                archive.extract(name, tmp_path)
    source = tmp_path / "sign-digits"
    data = build_dataset(Data(images=source, group=r"^(s\d+)_"), tmp_path / "data", lambda *_: None)
    assert set(failed(check(data, tmp_path / "r"))) == {"test-size"}  # 18 pictures are in each
    rows = list[FrameRow]()
    for row in data.manifest.frames:
        picture = cv2.imread(str(data.folder / row.file))
        if row.split == "val":
            cv2.imwrite(str(data.folder / row.file), _exposed(picture, 0.5))
        rows.append(row)
    table = as_checked(changed(data, *rows))
    assert RULES["val-far-from-train"].measure(table).max() > 0.8
