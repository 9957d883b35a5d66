"""Trainings in a real MLflow server that take no time: real runs, scores, plots and pages, of networks that answer as told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from servers import ADA, Server

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.evaluation.describe import describe_in_mlflow
from pipelines.evaluation.evaluate import Evaluator
from pipelines.home import Home
from pipelines.job.jobfile import parse_job
from pipelines.job.policy import set_policy
from pipelines.training.train import train
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.training import Kept, Training
from registry.errors import ModelyardError
from registry.events import Trained
from registry.money.prices import local_price
from registry.records import DataVerdict, Record
from registry.refs import Ref
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference

MLMODEL = "flavors:\n  python_function:\n    loader_module: nothing.of.ours\nmodel_uuid: '{}'\nutc_time_created: '2026-11-01 00:00:00'\n"


class Config(Record):
    """A network's name, and how long it trains."""

    arch: str
    epochs: int = 4
    lr: float = 0.001


@dataclass
class Network:
    """A trainer whose network is right about a share of the images, as far as its epochs go."""

    config: Config
    share: float
    folder: Path
    data: DataSet
    breaks: bool = False

    def fit(self, _data: object, _work: Path, watch: Watch) -> Fitted:
        for epoch in range(1, self.config.epochs + 1):
            gained = self.share * epoch / self.config.epochs
            watch.on_epoch(epoch, {"train_loss": 1.2 - gained, "val_loss": 1.3 - gained, "val_top1": gained})
            if self.breaks:
                raise ModelyardError("loss", "became NaN in step 7", "lower the learning rate `lr`")
        self.folder.mkdir(parents=True)
        (self.folder / "MLmodel").write_text(MLMODEL.format(self.config.arch))
        labels, digest = self.data.manifest.labels, self.data.manifest.digest
        write_info(self.folder, ModelInfo("torch", self.config.arch, "torch", labels, Preprocess(size=32), digest))
        return Fitted(self.folder, name=f"torch {self.config.arch} 128 frozen")


@dataclass
class TrainedWorld:
    """A model's runs and versions on a server, and what its networks answer."""

    server: Server
    data: DataSet
    name: str
    shares: dict[str, float] = field(default_factory=dict)

    def policy(self, at_least: float) -> None:
        """What staging asks for; nothing is exported."""
        gates = {"staging": [{"kind": "metric", "name": "top1", "at_least": at_least}, {"kind": "data"}]}
        raw = {"model": self.name, "train": [{"kind": "torch"}], "export": [], "gates": gates}
        set_policy(self.server.ledger(), parse_job(raw, "test"), ADA)

    def train(self, arch: str, share: float, *, breaks: bool = False) -> Trained:
        """One run that becomes a version, as `modelyard train` makes it."""
        home, config = Home(self.server.settings), Config(arch=arch)
        network = Network(config, share, self.server.home / "networks" / arch, self.data, breaks)
        kept = Kept(home.settings.underway, home.settings.trainings)
        verdict = DataVerdict(dataset=self.data.manifest.digest, holds=True, errors=0, warnings=0, leaks=0)
        training = Training(network, config, "torch", self.data, self.name, local_price(home.settings), ADA, verdict, kept, f"{self.name}@1")  # fmt: skip
        store, ledger = home.store(), home.ledger()
        event = train(store, ledger, home.tracker(self.name), training, Watch(), lambda _: None)
        self.shares[arch] = share
        assert describe_in_mlflow(store, ledger, self.name, [event.version]) == ""
        return event

    def evaluate(self, number: int) -> None:
        """What `modelyard evaluate` does."""
        home = Home(self.server.settings)
        evaluator = Evaluator(home.store(), home.ledger(), DatasetCatalog(home.settings.datasets), home.tracker, Path())
        evaluator.evaluate(Ref(self.name, number), None, "test", thorough=False)

    def probabilities(self, reference: Reference, files: list[Path]) -> np.ndarray:
        """Answers to the images by their names: the network's share of them is right, the others are taken for the next class."""
        share, labels = self.shares[reference.info.arch], reference.info.labels
        rows = self.data.rows("test")
        truth = {file.name: row.label for row, file in zip(rows, self.data.files(rows), strict=True)}
        random, answers = np.random.default_rng(2), np.full((len(files), len(labels)), 0.04)
        for index, file in enumerate(files):
            at = labels.index(truth[file.name])
            right = random.random() < share
            answers[index, at if right else (at + 1) % len(labels)] = 0.6 + 0.3 * random.random()
        return (answers / answers.sum(axis=1, keepdims=True)).astype(np.float32)
