"""The `torch` trainer: plain PyTorch, permissive from end to end.

`auto` tries what is cheap first: a head on the frozen features of a pretrained network, then a small network from scratch.
Where pictures look like photographs of the world the first wins, for close-ups, drawings and signs the second; val decides.
"""

from __future__ import annotations

import time
from pathlib import Path

from torch import Tensor, nn

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.classes import check_classes
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.torch_trial import Trial, Trials, as_saved, candidates
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess


class Probabilities(nn.Module):
    """A network with its softmax: images in 0..1 `[N, 3, S, S]` to probabilities `[N, classes]`."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network that gives logits."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The softmax of the logits."""
        return self.network(images).softmax(1)


class TorchAdapter:
    """Trains in this process, on the GPU where there is one."""

    def __init__(self, config: TorchTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train each candidate, and package the one that val prefers."""
        check_classes(data)
        best = self._best(data, watch)
        network, size, arch, labels = as_saved(best.network), best.design.size, best.design.arch, data.manifest.labels
        folder = work / "model"
        package_torch(Probabilities(network), folder, size, [(-1, len(labels))])
        preprocess = Preprocess(size=size, decode=self._config.decode)
        dataset = data.manifest.digest
        info = ModelInfo(trainer="torch", arch=arch, framework="torch", labels=labels, preprocess=preprocess, dataset=dataset)
        write_info(folder, info)
        way = best.candidate
        watch.choose({"arch": arch, "weights": best.design.weights, "trained": way.name, "imgsz": size})
        return Fitted(folder, name=f"torch {arch} {size} {way.name}")

    def _best(self, data: DataSet, watch: Watch) -> Trial:
        """Train every candidate; the one that val prefers."""
        ways = candidates(self._config, len(data.rows("train")))
        trials = Trials(self._config, data, watch, ArrayCache(watch.cache) if watch.cache else None)
        kept, offset = list[Trial](), 0
        for way in ways:
            began = time.monotonic()
            trial, offset = trials.run(way, offset)
            scores = f"val top-1 {trial.outcome.top1:.3f}, loss {trial.outcome.loss:.3f}"
            watch.say(f"{way.arch} {way.name}: {scores}, in {time.monotonic() - began:.0f} s")
            kept = [trial] if not kept or trial.better_than(kept[0]) else kept
            if trial.solved(len(data.rows("val"))) and way is not ways[-1]:
                watch.say("it answers all of val, and surely: nothing slower is tried")
                break
        else:
            if len(ways) > 1:
                watch.say(f"keeping {kept[0].design.arch} {kept[0].candidate.name}, which val prefers")
        return kept[0]
