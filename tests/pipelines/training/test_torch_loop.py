"""The loop: interrupted anywhere it ends in the same weights; a loss that is no number names its files; it ends when val says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.training.trainers import state as module_of_states
from pipelines.training.trainers.budget import Plan
from pipelines.training.trainers.failures import not_finite
from pipelines.training.trainers.images import Images
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_loop import Groups, Loop, Outcome, Recipe
from registry.errors import ModelyardError, StorageError

PLAN = Plan(images=24, batch=8, steps=24, steps_per_epoch=3, epochs_per_report=2, fixed=True)


class KilledError(Exception):
    """The process is gone."""


def images(count: int, seed: int) -> Images:
    """Two classes: dark and light pictures."""
    targets = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
    return Images(
        (noise + 120 * targets.view(-1, 1, 1, 1)).to(torch.uint8), targets, [f"{index}.jpg" for index in range(count)]
    )


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


def broken(step: int, batch: Sequence[int], loss: float) -> Exception:
    return not_finite(step, [f"{index}.jpg" for index in batch], loss)


def run(module: nn.Module, plan: Plan, state: StateFile | None = None, killed_at: int = 0, val: int = 10) -> Outcome:
    reports = list[int]()

    def report(epoch: int, _: dict[str, float]) -> None:
        reports.append(epoch)
        if len(reports) == killed_at:
            raise KilledError

    return Loop(module, Groups.of(module, None), Recipe(), plan).train(images(24, 1), images(val, 2), report, broken, state)


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4])
def test_a_training_that_is_killed_at_any_report_ends_in_the_same_weights(tmp_path: Path, killed_at: int) -> None:
    whole, cut = network(), network()
    run(whole, PLAN)
    state = StateFile(tmp_path, "it")
    with pytest.raises(KilledError):
        run(cut, PLAN, state, killed_at)
    again = network()
    torch.manual_seed(99)  # another process
    run(again, PLAN, state)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_state_of_another_training_or_a_file_that_is_cut_is_not_gone_on_from(tmp_path: Path) -> None:
    state = StateFile(tmp_path, "it")
    with pytest.raises(KilledError):
        run(network(), PLAN, state, 2)
    assert state.read() is not None
    assert StateFile(tmp_path, "another").read() is None


@pytest.mark.parametrize("content", [b"", bytes(5000), b"a line\n", b"{}", bytes(range(256)) * 9, None])
def test_a_damaged_state_is_said_and_not_gone_on_from(tmp_path: Path, content: bytes | None) -> None:
    lines = list[str]()
    state = StateFile(tmp_path, "it", lines.append)
    with pytest.raises(KilledError):
        run(network(), PLAN, state, 2)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:200] if content is None else content)
    assert state.read() is None
    (line,) = lines
    assert "is damaged: training begins anew" in line


def test_a_full_disk_leaves_the_former_state_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateFile(tmp_path, "it")
    state.write({"step": 1})

    def fill(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(bytes(content)[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(StorageError, match="No space left on device"):
        state.write({"step": 2})
    assert (state.read() or {})["step"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_state_that_takes_long_to_write_is_written_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module_of_states, "monotonic", lambda: clock[0])
    monkeypatch.setattr(torch, "save", lambda *_: clock.__setitem__(0, clock[0] + 0.1))
    state, writes = StateFile(tmp_path, "it"), 0
    for _ in range(10_000):
        clock[0] += 0.05  # training
        if state.is_due:
            state.write({})
            writes += 1
    assert 40 < writes < 55, "500 s of training, and a hundredth of them to write states of 0.1 s"
    monkeypatch.setattr(torch, "save", lambda *_: clock.__setitem__(0, clock[0] + 30))
    clock[0] += 60
    state.write({})
    clock[0] += 60
    assert state.is_due, "a kill costs a minute at most, and one epoch"


def test_weights_that_the_last_step_breaks_are_not_kept() -> None:
    once = Plan(images=24, batch=8, steps=1, steps_per_epoch=3, epochs_per_report=2, fixed=True)
    loop = Loop(module := network(), Groups.of(module, None), Recipe(rate=1e38), once)
    with pytest.raises(ModelyardError, match=r"^training step 1: the loss is nan"):
        loop.train(images(24, 1), images(10, 2), lambda *_: None, broken)


def test_a_loss_that_is_no_number_stops_and_names_step_and_files() -> None:
    module = network()
    module[0].weight.data.fill_(float("inf"))
    with pytest.raises(ModelyardError, match=r"^training step 1: .*\d+\.jpg"):
        run(module, PLAN)


def test_training_ends_early_where_val_does_not_improve_and_never_where_the_user_said_how_long() -> None:
    long = Plan(images=24, batch=8, steps=3000, steps_per_epoch=3, epochs_per_report=25, fixed=False)
    seen = images(10, 2)
    never = Images(seen.pixels, 1 - seen.targets, seen.files)  # what train teaches is wrong on val, and ever more so
    module = network()
    loop = Loop(module, Groups.of(module, None), Recipe(), long)
    outcome = loop.train(images(24, 1), never, lambda *_: None, broken)
    assert outcome.steps < 2000
    assert "stopped improving" in outcome.why
    fixed = Plan(images=24, batch=8, steps=300, steps_per_epoch=3, epochs_per_report=5, fixed=True)
    assert run(network(), fixed).steps == 300


def test_it_learns_and_without_val_it_keeps_the_end() -> None:
    plan = Plan(images=24, batch=8, steps=150, steps_per_epoch=3, epochs_per_report=10, fixed=True)
    assert run(network(), plan).top1 == 1.0
    assert run(network(), plan, val=0).steps == 150
