"""A trainer in a process of its own: its lines, its model, its errors; and what kills it leaves whoever started it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipelines.data.dataset import DataSet
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TorchTrainer
from pipelines.training import child as child_module
from pipelines.training.child import ChildJob, ChildLines, run_child
from pipelines.training.launchers import local
from pipelines.training.launchers.local import LocalTrainer
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.devices import check_device
from registry.errors import InputError, ModelyardError, RefusedError, StorageError, UnavailableError


class Follower:
    """A watch that keeps everything."""

    def __init__(self, checkpoints: Path | None = None) -> None:
        self.epochs: list[tuple[int, Mapping[str, float]]] = []
        self.lines, self.choices, self.planned = list[str](), dict[str, Any](), list[int]()
        self.watch = Watch(
            lambda epoch, metrics: self.epochs.append((epoch, metrics)),
            self.lines.append,
            self.choices.update,
            self.planned.append,
            checkpoints,
        )


class Trainer:
    """Fits by a function."""

    def __init__(self, fit: Callable[[DataSet, Path, Watch], Fitted]) -> None:
        self.fit = fit


def in_child(trainer: Trainer, dataset: DataSet, tmp_path: Path) -> tuple[int, ChildLines, Follower]:
    """The child's part in this process, its lines read by the other side."""
    job = ChildJob(trainer=TorchTrainer(), data=dataset.folder, name="hand", into=tmp_path)
    out, follower = io.StringIO(), Follower()
    code, lines = run_child(job, lambda: trainer, out), ChildLines(follower.watch)
    for line in out.getvalue().splitlines():
        json.loads(line)
        lines.take(line)
    return code, lines, follower


def test_everything_that_a_trainer_says_reaches_the_other_side(dataset: DataSet, tmp_path: Path) -> None:
    def fit(data: DataSet, work: Path, watch: Watch) -> Fitted:
        assert data.name == "hand"
        watch.epochs(2)
        watch.choose({"batch": 8, "weights": "imagenet", "lr0": 0.1})
        watch.say("a line\nwith a break and ümlauts")
        watch.on_epoch(1, {"train_loss": np.float32(0.5), "val_top1": float("nan")})
        for name in ("model", "extras"):
            (work / name).mkdir()
        return Fitted(work / "model", work / "extras", "torch small_cnn 64", {"epochs": 1})

    code, lines, follower = in_child(Trainer(fit), dataset, tmp_path)
    assert code == 0
    assert (follower.planned, follower.lines) == ([2], ["a line\nwith a break and ümlauts"])
    assert follower.choices == {"batch": 8, "weights": "imagenet", "lr0": 0.1}
    ((epoch, metrics),) = follower.epochs
    assert epoch == 1
    assert metrics["train_loss"] == 0.5
    assert np.isnan(metrics["val_top1"])
    expected = Fitted(tmp_path / "model", tmp_path / "extras", "torch small_cnn 64", {"epochs": 1.0})
    assert lines.result(tmp_path) == expected


@pytest.mark.parametrize("kind", [InputError, RefusedError, StorageError, UnavailableError, ModelyardError])
def test_an_error_of_ours_is_the_same_error_on_the_other_side(kind: Any, dataset: DataSet, tmp_path: Path) -> None:
    def fit(*_: object) -> Fitted:
        raise kind("arch 'x'", "is unknown", "try 'resnet18'")

    code, lines, _ = in_child(Trainer(fit), dataset, tmp_path)
    assert code == 1
    with pytest.raises(kind, match=r"^arch 'x': is unknown; try 'resnet18'$") as caught:
        lines.result(tmp_path)
    assert type(caught.value) is kind


def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(
    dataset: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(*_: object) -> Fitted:
        raise ZeroDivisionError("division by zero")

    _, lines, _ = in_child(Trainer(fit), dataset, tmp_path)
    with pytest.raises(ModelyardError, match="torch trainer: failed with ZeroDivisionError: division by zero; see its output"):
        lines.result(tmp_path)
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", ["", "word", "{", "{}", "[]", '{"line": "epoch"}', '{"line": "epoch", "epoch": "1", "metrics": {}}', '{"line": 3}']
)
def test_a_line_of_another_shape_is_left_out(line: str, tmp_path: Path) -> None:
    follower = Follower()
    lines = ChildLines(follower.watch)
    lines.take(line)
    assert follower.epochs == []
    with pytest.raises(ModelyardError, match="ended without a model"):
        lines.result(tmp_path)


@pytest.mark.parametrize("folder", ["../elsewhere", "/etc", "absent"])
def test_a_folder_that_is_not_the_childs_own_is_refused(folder: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "into").mkdir()
    lines = ChildLines(Watch())
    lines.take(json.dumps({"line": "fitted", "folder": folder}))
    with pytest.raises(ModelyardError, match="names a folder that it did not write"):
        lines.result(tmp_path / "into")


def test_a_small_network_is_trained_in_a_child_that_has_no_secret(
    dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_API_KEY", "secret")
    follower = Follower(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    trainer = LocalTrainer(TorchTrainer(epochs=1, imgsz=32), LocalLaunch(device="cpu"), Path("/absent"))
    fitted = trainer.fit(dataset, tmp_path / "work", follower.watch)
    assert (fitted.folder / "MLmodel").is_file()
    assert [epoch for epoch, _ in follower.epochs] == [1]
    assert (tmp_path / "run" / "output.log").is_file()


def test_a_refusal_of_the_child_is_the_commands_own(dataset: DataSet, tmp_path: Path) -> None:
    trainer = LocalTrainer(TorchTrainer(arch="resnet_of_nobody"), LocalLaunch(), Path("/absent"))
    with pytest.raises(InputError, match="resnet_of_nobody"):
        trainer.fit(dataset, tmp_path, Watch())


STUB = """
import json, os, sys, time
job = json.loads(open(sys.argv[1]).read())
print(json.dumps({"line": "epoch", "epoch": 1, "metrics": {"train_loss": 1}}), flush=True)
"""
ENDS = {
    "killed": ("os.kill(os.getpid(), 9)", "torch trainer: was killed; see that the machine has memory to spare"),
    "crashed": ("os.kill(os.getpid(), 11)", "torch trainer: crashed .SIGSEGV.; report it"),
    "memory": (
        "held = bytearray(300_000_000); held[::4096] = b'x' * len(held[::4096]); time.sleep(60)",
        "torch trainer: used more than 0.1 GB of memory and was ended; raise `launch: {memory_gb",
    ),
    "silent": ("open(job['report'], 'w').write('{}')", "training: ended without a model"),
    "printed": ("sys.exit('RuntimeError: no kernel image')", "exited with 1: RuntimeError: no kernel image"),
}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_child_ends_it_is_one_line_and_its_epochs_are_known(
    end: str, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, line = ENDS[end]
    stub, real = tmp_path / "stub.py", local.run_subprocess
    stub.write_text(STUB + code)
    monkeypatch.setattr(local, "run_subprocess", lambda _, *rest, **options: real([sys.executable, stub], *rest, **options))
    follower = Follower()
    with pytest.raises(ModelyardError, match=line):
        LocalTrainer(TorchTrainer(), LocalLaunch(memory_gb=0.1), Path("/absent")).fit(dataset, tmp_path, follower.watch)
    assert follower.epochs == [(1, {"train_loss": 1})]


def test_a_device_that_is_not_here_is_refused_in_one_line(dataset: DataSet, tmp_path: Path) -> None:
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    with pytest.raises(InputError, match=r"device 'mps': is asked for, and torch sees no such device here; set `launch"):
        check_device("mps")
    job = {"trainer": {"kind": "torch"}, "data": str(dataset.folder), "into": str(tmp_path), "device": "mps"}
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-P", "-m", child_module.__name__, str(tmp_path / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (failed,) = map(json.loads, done.stdout.splitlines())
    assert (failed["line"], failed["kind"], failed["problem"][0]) == ("failed", "InputError", "device 'mps'")


def test_a_child_ends_with_whoever_started_it(dataset: DataSet, tmp_path: Path) -> None:
    """However that ends: nothing trains on unpaid."""
    code = f"""
from pathlib import Path
import sys
from pipelines.data.dataset import open_dataset
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TorchTrainer
from pipelines.training.launchers.local import LocalTrainer
from pipelines.training.trainers.contract import Watch
watch = Watch(on_epoch=lambda *_: print("epoch", flush=True))
LocalTrainer(TorchTrainer(epochs=1000, imgsz=32), LocalLaunch(), Path("/x")).fit(open_dataset(Path({str(dataset.folder)!r})), Path({str(tmp_path)!r}), watch)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "epoch\n"
    (trains,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    trains.wait(timeout=20)
