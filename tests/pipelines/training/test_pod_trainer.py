"""A trainer whose `fit` runs on a pod: what travels, what comes back, and what it says was used."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import pod_sim
from pod_sim import PodSim
from red_dataset import make_dataset

from pipelines.job.jobfile import parse_job
from pipelines.job.trainers import KerasTrainer, TorchTrainer
from pipelines.training.interrupted import paid_for
from pipelines.training.launchers.choose import launched
from pipelines.training.launchers.runpod import PodTrainer, pack_data
from pipelines.training.trainers.contract import Watch
from registry.errors import DeniedError, InputError, IntegrityError, RefusedError
from registry.memory import MemoryLedger
from registry.settings import Settings
from registry.spending import TrainingFailed
from serving.bundle.modelinfo import ModelInfo, read_info, write_info
from serving.bundle.preprocess import Preprocess


@dataclass
class Model:
    """What the pod's training leaves; `files` are more of it."""

    labels: tuple[str, ...] = ("red",)
    files: tuple[tuple[str, bytes], ...] = ()

    def write(self, folder: Path, digest: str) -> None:
        folder.mkdir(exist_ok=True)
        size = Preprocess(size=32)
        write_info(folder, ModelInfo("torch", "small_cnn", "torch", list(self.labels), size, digest))
        for name, content in self.files:
            (folder / name).write_bytes(content)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PodSim:
    world = PodSim(tmp_path / "sim")
    world.model, poll = Model(), pod_sim.LineRunner.poll

    def polled(self):
        lines, code = poll(self)
        if code == 0:
            (self.folder / "trained/model/weights").unlink()
            manifest = json.loads(Path(self.job["data"], "manifest.json").read_text())
            world.model.write(self.folder / "trained/model", str(len(manifest["frames"])))
        return lines, code

    monkeypatch.setattr(pod_sim.LineRunner, "poll", polled)
    return world


def trainer_of(world: PodSim, **config: object) -> PodTrainer:
    launcher = world.launcher()
    return PodTrainer(TorchTrainer(**config), launcher._launch, launcher._world)


def test_train_and_val_travel_and_test_does_not(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", 7)
    archive, job = pack_data(data, TorchTrainer(), tmp_path / "data.tar")
    with tarfile.open(archive.path) as tar:
        assert tar.getnames() == ["train/red/7.jpg", "val/red/7.jpg", "manifest.json"]
        manifest = json.load(tar.extractfile("manifest.json"))
    assert [row["split"] for row in manifest["frames"]] == ["train", "val"]
    assert b"7 test" not in archive.path.read_bytes()
    assert job["trainer"]["kind"] == "torch"
    assert pack_data(data, TorchTrainer(), tmp_path / "again.tar")[0].sha256 == archive.sha256


def test_a_fit_on_a_pod_is_a_fit(world, tmp_path: Path) -> None:
    data, epochs, trainer = make_dataset(tmp_path / "data", 1), [], trainer_of(world)
    assert trainer.used.usd == 0
    fitted = trainer.fit(data, tmp_path / "work", Watch(on_epoch=lambda epoch, metrics: epochs.append((epoch, metrics))))
    assert [epoch for epoch, _ in epochs] == list(range(1, 11))
    assert epochs[-1][1] == {"val_top1": 1.0}
    assert read_info(fitted.folder, "it").dataset == data.manifest.digest  # the pod saw a part of it
    assert trainer.used.hardware == "runpod: NVIDIA RTX A4000 x 1"
    assert float(trainer.used.usd) == pytest.approx(world.cloud.spent(), abs=1e-6)
    assert world.cloud.leaks() == []
    assert not list((tmp_path / "work").glob("*.tar"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Model(labels=("blue",)), "other labels"),
        (Model(files=(("x.pkl", b"cos\nsystem\n(S'true'\ntR."),)), "pickle that does harm"),
    ],
)
def test_a_model_that_is_not_what_was_asked_for_is_not_registered(model: Model, message: str, world, tmp_path: Path) -> None:
    world.model = model
    with pytest.raises(IntegrityError, match=message):
        trainer_of(world).fit(make_dataset(tmp_path / "data", 1), tmp_path / "work", Watch())
    assert world.cloud.leaks() == []


def test_a_fit_that_fails_is_paid_at_the_pods_cost(world, tmp_path: Path) -> None:
    world.train_s, ledger, trainer = 1e9, MemoryLedger(), trainer_of(world)
    price = trainer.price
    assert (price.provider, price.hardware, price.usd_per_hour) == ("runpod", "NVIDIA A40 x 1", Decimal("0.44"))
    event = TrainingFailed(
        model="hand", trainer="torch", run_id="r", seconds=0, hardware="?", usd=Decimal(0), price_as_of="2026-11-26", reason="?"
    )
    with pytest.raises(RefusedError, match="was ended at"), paid_for(tmp_path / "underway", ledger, price, event) as payment:
        payment.meter = lambda: trainer.used
        trainer.fit(make_dataset(tmp_path / "data", 1), tmp_path / "work", Watch())
    (row,) = ledger.entries()
    assert float(row.event.usd) == pytest.approx(world.cloud.spent(), abs=1e-6)
    assert row.event.seconds > 3000  # the pods' hour, not this process's moment
    assert row.event.hardware == "runpod: NVIDIA RTX A4000 x 1"
    assert "was ended at" in row.event.reason


def test_a_file_of_weights_travels_and_a_name_does_not(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "own.pt"
    weights.write_bytes(b"tensors")
    dump = TorchTrainer.model_dump
    for given, expected in ((str(weights), "data:weights/own.pt"), ("imagenet", "imagenet")):
        monkeypatch.setattr(
            TorchTrainer, "model_dump", lambda self, given=given, **options: dump(self, **options) | {"weights": given}
        )
        archive, job = pack_data(make_dataset(tmp_path / "data", 1), TorchTrainer(), tmp_path / "data.tar")
        assert job["trainer"]["weights"] == expected
        with tarfile.open(archive.path) as tar:
            assert ("weights/own.pt" in tar.getnames()) == (given == str(weights))


def test_the_job_file_chooses_the_pod_and_a_wrong_key_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = {"kind": "runpod", "gpus": ["NVIDIA A40"], "max_usd": 1, "image": "x"}
    job = parse_job({"model": "hand", "train": [{"kind": "torch"}], "launch": launch}, "job")
    with pytest.raises(DeniedError, match="RUNPOD_API_KEY: is not set"):
        launched(TorchTrainer(), job.launch, Settings(), print)
    with pytest.raises(InputError, match="did you mean 'max_usd'"):
        parse_job({"model": "hand", "train": [{"kind": "torch"}], "launch": launch | {"max_us": 1}}, "job")
    assert parse_job({"train": [{"kind": "torch"}], "launch": {}}, "job").launch.kind == "local"


def test_keras_is_refused_before_anything_is_asked(world) -> None:
    launcher = world.launcher()
    with pytest.raises(InputError, match="does not run on pods"):
        PodTrainer(KerasTrainer(), launcher._launch, launcher._world)
