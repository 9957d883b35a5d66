"""`modelyard curve` from the command line: test is never opened, features are kept, and what it predicts is recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pipelines.cli.app import run
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from pipelines.job.trainers import KerasTrainer, TorchTrainer, YoloTrainer
from pipelines.training.curve import features
from pipelines.training.curve.command import CurveMeasurement
from pipelines.training.curve.features import backbone_of, thinned
from pipelines.training.trainers.torch_networks import Design
from registry.digests import sha256_file
from registry.errors import UnavailableError
from registry.events import CurveMeasured
from registry.files import write_json
from registry.opening import ledger_of
from registry.settings import Settings

LABELS = ("cup", "box")


class Colours(nn.Module):
    """A backbone that sees mean colours, and counts what it looks at."""

    looked_at = 0

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        Colours.looked_at += len(images)
        return self.head(images.mean((2, 3)))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a data set of coloured pictures: five clips a class to train on, two in val, and test files that are gone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(features, "design", lambda *_: Design(Colours(), "colours", "imagenet", 32))
    Colours.looked_at = 0
    data = pictures(tmp_path / "home" / "datasets" / "hand")
    for row in data.rows("test"):
        (data.folder / row.file).unlink()
    return tmp_path / "home"


def pictures(folder: Path) -> DataSet:
    random, rows = np.random.default_rng(0), list[FrameRow]()
    for number in range(18):
        label, split = LABELS[number % 2], "train" if number < 10 else "val" if number < 14 else "test"
        shade = random.normal(0, 40, 3) + (np.array([40, 0, 0]) if label == "cup" else 0) + 110
        for frame in range(2):
            path = folder / split / label / f"{number}-{frame}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(random.normal(shade, 5, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
            digest = sha256_file(path)
            facts = {"clip": f"clip {number}", "clip_sha256": f"{number}", "label": label, "split": split}
            fields = {"file": str(path.relative_to(folder)), "sha256": digest, "width": 32, "height": 32}
            rows.append(FrameRow.model_validate(facts | fields))
    manifest = Manifest(labels=list(LABELS), source="clips", split=Split(), frames=rows)
    write_json(folder / "manifest.json", manifest.document())
    return DataSet(folder, manifest)


def command(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        run(["curve", *words])
    return int(left.value.code or 0)


def test_it_measures_says_it_and_records_it(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--home", str(home), "--plot", str(home / "curve.png"), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["recorded"] is True
    assert document["overall"]["text"].startswith("10 more clips of every class are worth ")
    assert {part["label"] for part in document["classes"]} == set(LABELS)
    assert all(part["scored"] == 7 and part["points"] for part in document["classes"])
    assert (home / "curve.png").stat().st_size > 1000
    (event,) = [entry.event for entry in ledger_of(Settings(home=home)).entries("hand")]
    assert isinstance(event, CurveMeasured)
    assert (event.dataset, set(event.gains)) == (document["dataset"], set(LABELS))
    assert "learning curve of hand on data set" in str(event)


def test_what_was_measured_is_shown_where_it_cannot_be_recorded(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise UnavailableError("ledger", "cannot be written", "make room")

    monkeypatch.setattr(CurveMeasurement, "record", fails)
    assert command("--home", str(home), "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert (document["recorded"], document["error"]) == (False, "ledger: cannot be written; make room")
    assert document["overall"]["points"]
    assert command("--home", str(home)) == 2
    captured = capsys.readouterr()
    assert "10 more clips of every class are worth" in captured.out
    assert "ledger: cannot be written; make room" in captured.err


def test_people_get_a_table_and_a_sentence_each(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--home", str(home), "--class", "cup", "--more", "3") == 0
    out = capsys.readouterr().out
    assert "3 more clips of 'cup' are worth" in out
    assert "3 more clips of every class are worth" in out
    assert "of 'box'" not in out


@pytest.mark.parametrize("named", ["a version", "a folder elsewhere"])
def test_it_is_recorded_for_the_model_whose_data_set_it_is(home: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    DatasetCatalog(home / "datasets").add(pictures(home / "datasets" / "hand"))
    elsewhere = home.parent / "elsewhere"
    pictures(elsewhere).folder.joinpath("manifest.json").write_text(
        (elsewhere / "manifest.json").read_text().replace('"clip 0"', '"clip zero"')
    )
    reference = "hand@1" if named == "a version" else str(elsewhere)
    assert command("--home", str(home), "--data", reference, "--json") == 0
    assert json.loads(capsys.readouterr().out)["recorded"] is (named == "a version")


def test_features_are_computed_once(home: Path) -> None:
    assert command("--home", str(home)) == 0
    assert Colours.looked_at == 28, "train and val, and nothing of test"
    assert command("--home", str(home), "--more", "2") == 0
    assert Colours.looked_at == 28


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--class", "cap"), "class 'cap': is not in the data set; give --class one of its own, such as cup"),
        (("--plot", "curve.txt"), "is not a picture's name"),
        (("--more", "0"), "--more"),
        (("--data", "nothing"), "nothing"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    assert command("--home", str(home), *words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("modelyard: ")]
    assert len(lines) == 1
    assert why in lines[0]
    assert not (home / "ledger.db").exists()


def test_a_detector_has_no_curve(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "datasets" / "hand" / "manifest.json"
    document = json.loads(path.read_text())
    write_json(path, document | {"task": "detect", "frames": [row | {"boxes": []} for row in document["frames"]]})
    assert command("--home", str(home)) == 2
    assert "the learning curve is of classifiers" in capsys.readouterr().err


def test_the_network_is_the_one_that_the_job_begins_from() -> None:
    assert backbone_of([YoloTrainer(), KerasTrainer()]).arch == "efficientnet_lite0"
    assert backbone_of([TorchTrainer(arch="small_cnn")]).imgsz is None
    assert backbone_of([TorchTrainer(weights="scratch", imgsz=64)]).weights == "imagenet"
    chosen = backbone_of([TorchTrainer(arch="resnet18"), TorchTrainer(arch="resnet18", weights="w.pt", imgsz=96)])
    assert (chosen.arch, chosen.weights, chosen.imgsz) == ("resnet18", "w.pt", 96)
    assert backbone_of([TorchTrainer(imgsz=128)]).imgsz == 128


def test_long_clips_are_thinned_evenly_and_no_clip_is_left_out(tmp_path: Path) -> None:
    rows = pictures(tmp_path).rows("train")
    long = [row.model_copy(update={"file": f"{row.file}-{number}"}) for row in rows for number in range(50)]
    kept = thinned(long)
    assert {row.clip for row in kept} == {row.clip for row in rows}
    assert len(kept) == 12 * 10
    assert len({row.file for row in kept}) == len(kept)
    numbers = sorted(int(row.file.rpartition("-")[2]) for row in kept if row.clip == "clip 0")
    assert (numbers[0], numbers[-1]) == (0, 49)


def test_of_a_great_many_clips_each_class_keeps_its_share(tmp_path: Path) -> None:
    row = pictures(tmp_path).rows("train")[0]
    labels = ["cup"] * 5000 + ["box"] * 995 + ["tree"] * 5
    many = [row.model_copy(update={"clip": f"{at}", "label": label, "file": f"{at}"}) for at, label in enumerate(labels)]
    counts = Counter(frame.label for frame in thinned(many))
    assert sum(counts.values()) <= 2004
    assert counts["tree"] == 4
    assert counts["cup"] / counts["box"] == pytest.approx(5000 / 995, rel=0.01)
    assert thinned(many) == thinned(many)
