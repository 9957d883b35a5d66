"""One trainer's `fit` in a process of its own: `python -m pipelines.training.child JOB.json`. Every launcher runs exactly this.

The job is a `ChildJob` as JSON. On standard output comes one JSON object a line, each as soon as it is known; whatever a
framework prints goes to standard error:

    {"line": "epochs", "epochs": 12}                                  how many are planned
    {"line": "choose", "choices": {"batch": 8}}                       what defaults came to
    {"line": "say", "text": "out of memory ..."}                      for people
    {"line": "epoch", "epoch": 1, "metrics": {"train_loss": 0.7}}     after each epoch; NaN as JSON's NaN
    {"line": "fitted", "folder": "model", "extras": null, "name": "", "figures": {}}       the last: files below `into`
    {"line": "failed", "kind": "InputError", "problem": ["subject", "expectation", "remedy"]}       or this, exit code 1

A child that ends without one of the last two was killed or crashed. What it has written to `checkpoints` is what a later child
begins from. It needs no MLflow, no ledger and no secret.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

import registry.errors
from pipelines.job.launch import Device
from pipelines.job.trainers import TrainerConfig
from pipelines.training.trainers.contract import Fitted, Trainer, Watch
from registry.errors import InputError, ModelyardError, shorten
from registry.files import read_json
from registry.records import Record


class ChildJob(Record):
    """What a child trains, and where it may write.

    `data` is a data set's folder, `name` what its users call it. `into` is an empty folder for the model and all scratch
    files; `checkpoints` and `cache` outlive it, None where nothing is kept. `report` and `work` are the runner's.
    """

    trainer: TrainerConfig
    data: Path
    into: Path
    name: str = ""
    checkpoints: Path | None = None
    cache: Path | None = None
    device: Device = "auto"
    tf_python: Path = Path()
    report: Path | None = None
    work: Path | None = None


@dataclass
class ChildLines:
    """The other side: passes a child's lines on to a watch, and keeps how it ended. Lines of other shapes are left out."""

    watch: Watch
    fitted: dict[str, Any] | None = None
    failure: ModelyardError | None = None
    last_epoch: int = field(default=0)

    def take(self, line: str) -> None:
        """Take one line of a child's standard output."""
        if not line.startswith("{"):
            return
        try:
            fields = json.loads(line)
        except ValueError:  # cut, where the child was killed
            return
        match fields:
            case {"line": "epoch", "epoch": int(epoch), "metrics": {**metrics}}:
                self.last_epoch = epoch
                self.watch.on_epoch(epoch, metrics)
            case {"line": "say", "text": str(text)}:
                self.watch.say(text)
            case {"line": "choose", "choices": {**choices}}:
                self.watch.choose(choices)
            case {"line": "epochs", "epochs": int(number)}:
                self.watch.epochs(number)
            case {"line": "fitted", "folder": str()}:
                self.fitted = fields
            case {"line": "failed", "problem": [subject, expectation, remedy], **rest}:
                self.failure = _error_kind(rest.get("kind"))(subject, expectation, remedy)
            case _:
                return

    def result(self, into: Path) -> Fitted:
        """What the child left, its files below `into`. Raises its own error, and ModelyardError for a missing answer."""
        if self.failure:
            raise self.failure
        if self.fitted is None:
            raise ModelyardError("training", "ended without a model", "see what it printed, then run it again")
        extras = self.fitted.get("extras")
        return Fitted(
            _below(into, self.fitted["folder"]),
            _below(into, extras) if extras else None,
            str(self.fitted.get("name") or ""),
            {str(name): float(value) for name, value in (self.fitted.get("figures") or {}).items()},
        )


def _below(into: Path, name: str) -> Path:
    """A folder that a child names: it lies below its own folder, or the answer is not a child's of ours."""
    path = into / name
    if not path.resolve().is_relative_to(into.resolve()) or not path.is_dir():
        raise ModelyardError("training", f"names a folder that it did not write ({shorten(name, 80)})", "run it again")
    return path


def _error_kind(name: object) -> type[ModelyardError]:
    kind = getattr(registry.errors, str(name), None)
    return kind if isinstance(kind, type) and issubclass(kind, ModelyardError) else ModelyardError


def run_child(job: ChildJob, make: Callable[[], Trainer], out: TextIO) -> int:
    """Make the trainer, fit, and print the lines; the exit code. Only what stops the process itself (Ctrl-C) is raised."""
    from pipelines.data.dataset import DataSet, open_dataset
    from pipelines.training.trainers.failures import training_errors

    def tell(line: str, **fields: object) -> None:
        print(json.dumps({"line": line, **fields}), file=out, flush=True)

    watch = Watch(
        on_epoch=lambda epoch, metrics: tell("epoch", epoch=epoch, metrics=_plain(metrics)),
        say=lambda text: tell("say", text=text),
        choose=lambda choices: tell("choose", choices=dict(choices)),
        epochs=lambda number: tell("epochs", epochs=number),
        checkpoints=job.checkpoints,
        cache=job.cache,
    )
    try:
        trainer, data = make(), open_dataset(job.data)
        with training_errors(job.trainer.kind):
            fitted = trainer.fit(DataSet(data.folder, data.manifest, job.name), job.into, watch)
        names = [str(path.relative_to(job.into)) if path else None for path in (fitted.folder, fitted.extras)]
        tell("fitted", folder=names[0], extras=names[1], name=fitted.name, figures=_plain(fitted.figures))
    except ModelyardError as error:
        tell("failed", kind=type(error).__name__, problem=[error.subject, error.expectation, error.remedy])
        return 1
    except Exception as error:  # noqa: BLE001 a trainer of anybody's; its traceback is in the log
        traceback.print_exc()
        what = f"failed with {type(error).__name__}: {shorten(error, 240)}"
        tell("failed", kind="ModelyardError", problem=[f"{job.trainer.kind} trainer", what, "see its output"])
        return 1
    return 0


def _plain(metrics: Mapping[str, float]) -> dict[str, float]:
    """Numbers that JSON has: NumPy's and torch's become Python's."""
    return {name: float(value) for name, value in metrics.items()}


def main(path: Path) -> int:
    """Read a job file and do it; the exit code."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # frameworks print to the C-level standard output; only our own lines belong there
    try:
        job = ChildJob.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(path, f"is not a job of a child ({shorten(error, 160)})", "see pipelines/training/child.py") from error
    from pipelines.training.trainers.build import build_trainer
    from pipelines.training.trainers.devices import use_device

    def make() -> Trainer:
        use_device(job.device, job.trainer.kind)
        return build_trainer(job.trainer, job.tf_python)

    code = run_child(job, make, ours)
    if job.report and not code:
        job.report.write_text("{}")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except ModelyardError as problem:
        sys.exit(str(problem))
