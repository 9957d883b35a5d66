"""What fits a job's task: which trainers and architectures make a detector or a classifier, and what each is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pipelines.job.other_trainers import OtherTrainer
from pipelines.job.trainers import KerasTrainer, TorchTrainer, YoloTrainer
from registry.errors import InputError
from validation.gates.champion import ChampionGate
from validation.gates.metric import MetricGate

if TYPE_CHECKING:
    from pipelines.job.trainers import TrainerConfig
    from validation.gates.config import GateConfig

DETECTORS = {"yolo": "yolov8n", "torch": "small_detector"}
"""Kinds of trainers that make detectors, and the architecture of each where none is given."""
PRETRAINED = "efficientnet_lite0_detector"
"""What `weights: imagenet` takes."""
SUFFIX = "_detector"
VAL_METRIC = "val_map50_95"
"""What detectors report of each epoch, as classifiers report `val_top1`."""
_METRICS = ("map50_95", "map50", "map75", "worst_ap", "precision", "recall")
_YOLO = tuple(f"yolo{generation}{size}" for generation in ("v8", "11", "v9", "v10", "12") for size in "nsmlx")


def with_task_defaults(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """A detector's job, as it was written, with an architecture for each trainer and a metric for a search that name none."""
    if job.get("task") != "detect":
        return job
    trainers, search, added = job.get("train"), job.get("search"), dict[str, Any]()
    if isinstance(trainers, (list, tuple)):
        added["train"] = [_with_arch(entry) for entry in trainers]
    if isinstance(search, Mapping) and "metric" not in search:
        added["search"] = {**search, "metric": VAL_METRIC}
    return {**job, **added}


def _with_arch(entry: Any) -> Any:
    """A trainer as it was written, with an architecture where it names none."""
    if not isinstance(entry, Mapping) or entry.get("kind") not in DETECTORS or entry.get("arch", "auto") != "auto":
        return entry
    pretrained = entry["kind"] == "torch" and entry.get("weights") == "imagenet"
    return {**entry, "arch": PRETRAINED if pretrained else DETECTORS[entry["kind"]]}


def is_detector(config: TrainerConfig) -> bool:
    """Whether a trainer makes a detector: its architecture says so."""
    if isinstance(config, YoloTrainer):
        return not config.arch.endswith("-cls")
    return isinstance(config, TorchTrainer) and config.arch.endswith(SUFFIX)


def check_trainers(task: str, trainers: Iterable[TrainerConfig]) -> None:
    """Raise ValueError naming the first trainer that does not make what the task asks for, with one that does."""
    for config in trainers:
        if isinstance(config, OtherTrainer):  # another package's trainer knows for itself what it makes
            continue
        if task == "detect" and config.kind not in DETECTORS:
            known = ", ".join(DETECTORS)
            raise ValueError(f"trainer '{config.kind}' makes no detectors; give one of {known}, or `task: classify`")
        if task == "detect" and config.decode == "reduced":
            raise ValueError("decode: reduced is for classifiers; leave it out for a detector")
        if is_detector(config) == (task == "detect"):
            continue
        raise ValueError(_misfit(task, config))


def _misfit(task: str, config: YoloTrainer | TorchTrainer | KerasTrainer) -> str:
    if task == "detect":
        bare = config.arch.removesuffix("-cls")
        near = get_close_matches(bare, _YOLO, n=1) if config.kind == "yolo" else [f"{bare}{SUFFIX}"]
        known = near[0] if near and config.kind == "yolo" else f"{DETECTORS[config.kind]}' or '{near[0]}" if near else ""
        return f"arch '{config.arch}' is a classifier, the job's task is detect; did you mean '{known}'?"
    near = f"{config.arch}-cls" if config.kind == "yolo" else "small_cnn"
    return f"arch '{config.arch}' is a detector, the job's task is classify; did you mean '{near}'?"


def check_gates(task: str, by_stage: Mapping[str, Iterable[GateConfig]], subject: str) -> None:
    """Raise InputError naming the first gate of a detector's job that asks for what only a classifier has.

    A policy that an older release recorded is not checked: nothing is refused later than it is written.
    """
    for stage, gates in by_stage.items() if task == "detect" else ():
        for gate in gates:
            _check_gate(gate, f"{subject}: gates.{stage}")


def _check_gate(gate: GateConfig, where: str) -> None:
    if isinstance(gate, ChampionGate) and gate.metric == "top1":
        raise InputError(where, "champion compares top1, which a detector does not have", "write `metric: map50_95`")
    if not isinstance(gate, MetricGate) or gate.label:
        return
    known = ("map50_95", "map50") if gate.slice else _METRICS
    if gate.name not in known:
        near = get_close_matches(gate.name, known, n=1, cutoff=0.4)
        remedy = f"did you mean '{near[0]}'?" if near else f"give one of {', '.join(known)}"
        raise InputError(where, f"a detector has no metric '{gate.name}'", remedy)
