"""What is shown of a score: curves, the classes as a table, and the mistakes with one image a clip."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data.dataset import DataSet, FrameRow
from pipelines.evaluation.answers import RememberingReference, ScoredSplit, scored_split
from pipelines.evaluation.mistakes import class_table, mistakes_sheet, worst_of_each_clip
from pipelines.evaluation.scores import HeldOutSet, evaluate
from pipelines.evaluation.trust import precision_recall_figure, reliability_figure
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference


def scored(tmp_path: Path, probabilities: list[list[float]], targets: list[int], clips: list[str]) -> ScoredSplit:
    labels = [f"class {index}" for index in range(len(probabilities[0]))]
    rows = list[FrameRow]()
    for index, (target, clip) in enumerate(zip(targets, clips, strict=True)):
        Image.new("RGB", (40, 30), (index * 20 % 256, 100, 100)).save(tmp_path / f"{index}.png")
        rows.append(
            FrameRow(
                file=f"{index}.png",
                sha256="0",
                clip=clip,
                clip_sha256="0",
                label=labels[target],
                split="test",
                width=40,
                height=30,
            )
        )
    files = [tmp_path / row.file for row in rows]
    return ScoredSplit(labels, rows, files, np.asarray(targets), np.float32(probabilities))


def test_one_image_of_each_clip_with_a_mistake_the_surest_first(tmp_path: Path) -> None:
    nan = float("nan")
    answers = [[0.9, 0.1], [0.8, 0.2], [0.95, 0.05], [0.1, 0.9], [nan, 0.5], [0.6, 0.4], [0.99, 0.01]]
    split = scored(tmp_path, answers, [1, 1, 0, 1, 0, 1, 1], ["a", "b", "b", "b", "c", "a", "a"])
    assert worst_of_each_clip(split) == [4, 6, 1]
    sheet = mistakes_sheet(split)
    assert sheet is not None
    inside = sheet.getpixel((8 + 80, 24 + 8 + 80))
    assert inside[0] == pytest.approx(4 * 20, abs=2)


def test_no_sheet_without_a_mistake_and_a_bounded_one_of_many(tmp_path: Path) -> None:
    assert mistakes_sheet(scored(tmp_path, [[0.9, 0.1], [0.2, 0.8]], [0, 1], ["a", "b"])) is None
    many = scored(tmp_path, [[0.9, 0.1]] * 90, [1] * 90, [f"clip {index}" for index in range(90)])
    many.files[0].unlink()  # one that cannot be read is grey
    sheet = mistakes_sheet(many)
    assert sheet is not None
    assert sheet.height < 2500


@pytest.mark.parametrize("classes", [1, 2, 30, 200])
def test_curves_are_drawn_however_many_classes_there_are(classes: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    answers = rng.dirichlet(np.ones(classes), 60).astype(np.float32)
    answers[3] = np.nan
    targets = rng.integers(0, max(classes - 1, 1), 60).tolist()  # the last class has no image
    split = scored(tmp_path, answers.tolist(), targets, ["a"] * 60)
    split = ScoredSplit(
        [f"_<b>${label}" for label in split.labels], split.rows, split.files, split.targets, split.probabilities
    )
    for draw in (precision_recall_figure, reliability_figure):
        figure = draw(split, "hand@2 test")
        figure.savefig(tmp_path / "figure.png", dpi=40)
        assert figure.axes[0].get_legend() is not None


def test_the_curves_say_what_the_answers_are_worth(tmp_path: Path) -> None:
    good = scored(tmp_path, [[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]], [0, 0, 1, 1], list("abcd"))
    labels = [text.get_text() for text in precision_recall_figure(good, "t").axes[0].get_legend().get_texts()]
    assert labels[-1] == "all 2 classes (mean AP 1.000)"
    over = scored(tmp_path, [[1.0, 0.0]] * 4, [0, 1, 0, 1], list("abcd"))
    (text,) = reliability_figure(over, "t").axes[0].get_legend().get_texts()
    assert text.get_text() == "expected calibration error 0.500"


def test_the_table_of_classes_has_the_worst_first_and_what_it_is_taken_for() -> None:
    labels = ["fist", "=SUM(A1)", "palm"]
    held = HeldOutSet(labels, [0, 0, 0, 1, 1, 2], ["a", "a", "b", "c", "c", "d"])
    answers = np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 1, 2]]
    rows = list(csv.DictReader(io.StringIO(class_table(evaluate(answers, held, "d", "test"), labels))))
    assert [row["label"] for row in rows] == ["fist", "'=SUM(A1)", "palm"]
    assert (rows[0]["recall"], rows[0]["support"]) == ("0.3333", "3")
    assert (rows[0]["most_often_taken_for"], rows[0]["times"]) == ("'=SUM(A1)", "2")
    assert (rows[2]["most_often_taken_for"], rows[2]["times"]) == ("", "")


def test_answers_are_kept_by_file_and_a_detectors_are_not_drawn(
    dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probabilities(_: Reference, files: list[Path]) -> np.ndarray:
        return np.tile(np.float32([0.9, 0.05, 0.05]), (len(files), 1))

    monkeypatch.setattr(Reference, "probabilities", probabilities)
    info = ModelInfo("torch", "tiny", "torch", dataset.manifest.labels, Preprocess(size=32), dataset.manifest.digest)
    reference = RememberingReference(tmp_path, info, Path())
    assert scored_split(reference, dataset, "test") is None
    reference.probabilities(dataset.files(dataset.rows("test")))
    split = scored_split(reference, dataset, "test")
    assert split is not None
    assert len(split.probabilities) == len(dataset.rows("test"))
    assert set(split.guesses.tolist()) == {0}
    assert scored_split(reference, dataset, "val") is None
    detector = RememberingReference(tmp_path, info.changed(task="detect"), Path(), reference.by_file)
    assert scored_split(detector, dataset, "test") is None
