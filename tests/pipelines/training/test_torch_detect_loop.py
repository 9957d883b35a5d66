"""A detector's loop: interrupted anywhere it ends in the same weights; it stops at no number, and ends when val says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.training.trainers import torch_detect_loop
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_detect import LETTERBOX
from pipelines.training.trainers.torch_detect_images import BoxImages
from pipelines.training.trainers.torch_detect_loop import DetectLoop, DetectPlan
from pipelines.training.trainers.torch_detect_network import SMALL, STRIDES, Detector, build_detector
from registry.errors import ModelyardError
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess

SIZE = 32
INFO = ModelInfo(
    trainer="torch",
    arch=SMALL,
    framework="torch",
    labels=["square", "disc"],
    preprocess=Preprocess.of({"size": SIZE} | LETTERBOX),
    dataset="d",
    task="detect",
    strides=STRIDES,
)
PLAN = DetectPlan(epochs=5, steps_per_epoch=2, batch=4, lr=3e-3, every=1, fixed=True)


class KilledError(Exception):
    """The process is gone."""


def pictures(count: int, seed: int, *, boxes: bool = True) -> BoxImages:
    """Bright squares of 16 pixels on noise."""
    random = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 90, (count, 3, SIZE, SIZE), generator=random)
    rows = list[torch.Tensor]()
    for index in range(count):
        left, top = torch.randint(0, SIZE - 16, (2,), generator=random).tolist()
        if boxes:
            pixels[index, :, top : top + 16, left : left + 16] += 150
        rows.append(torch.tensor([[left, top, left + 16, top + 16, index % 2]] * boxes, dtype=torch.float32).reshape(-1, 5))
    names = [f"{index}.jpg" for index in range(count)]
    return BoxImages(pixels.to(torch.uint8), rows, names, names)


def run(
    plan: DetectPlan, watch: Watch, state: StateFile | None = None, val: BoxImages | None = None, images: int = 8
) -> Detector:
    torch.manual_seed(0)
    network = build_detector(SMALL, 2, SIZE)
    return DetectLoop(network, (pictures(images, 1), val or pictures(4, 2)), INFO, plan).train(0.5, watch, state)


def killed_at(number: int) -> Watch:
    def on_epoch(epoch: int, _: object) -> None:
        if epoch == number:
            raise KilledError

    return Watch(on_epoch)


@pytest.mark.parametrize(("killed", "every"), [(1, 1), (2, 1), (5, 1), (4, 2)])
def test_a_training_that_is_killed_anywhere_ends_in_the_same_weights(
    tmp_path: Path, killed: int, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateFile, "is_due", True)
    plan = DetectPlan(epochs=5, steps_per_epoch=2, batch=4, lr=3e-3, every=every, fixed=True)
    whole, state, epochs = run(plan, Watch()), StateFile(tmp_path, "it"), list[int]()
    with pytest.raises(KilledError):
        run(plan, killed_at(killed), state)
    torch.manual_seed(99)  # another process
    again = run(plan, Watch(lambda epoch, _: epochs.append(epoch)), state)
    kept = (killed - 1) // every * every
    reported = [epoch for epoch in range(kept + 1, 6) if epoch % every == 0 or epoch == 5]
    assert epochs == reported, "what was kept is not trained again"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_what_was_trained_whole_is_not_trained_again(tmp_path: Path) -> None:
    state, epochs = StateFile(tmp_path, "it"), list[int]()
    first = run(PLAN, Watch(), state)
    again = run(PLAN, Watch(lambda epoch, _: epochs.append(epoch)), state)
    assert epochs == []
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def test_each_report_has_val_s_score_which_a_search_goes_by() -> None:
    reports = list[tuple[int, set[str]]]()
    plan = DetectPlan(epochs=5, steps_per_epoch=2, batch=4, lr=3e-3, every=2, fixed=True)
    run(plan, Watch(lambda epoch, metrics: reports.append((epoch, set(metrics)))))
    assert reports == [(epoch, {"train_loss", "val_map50_95", "val_map50"}) for epoch in (2, 4, 5)]


def test_a_loss_that_is_no_number_stops_and_names_step_and_files() -> None:
    network, lines = build_detector(SMALL, 2, SIZE), list[str]()
    network.backbone.stages[0][0].weight.data.fill_(float("nan"))
    loop = DetectLoop(network, (pictures(8, 1), pictures(4, 2)), INFO, PLAN)
    with pytest.raises(ModelyardError, match=r"^training step 1: the loss is nan.*\d\.jpg, \d\.jpg, \d\.jpg, \d\.jpg"):
        loop.train(0, Watch(say=lines.append))
    assert lines == []


def test_training_ends_early_where_val_does_not_improve_and_never_where_the_user_said_how_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores = iter([0.1, 0.3, 0.3, 0.2, 0.3, 0.1, 0.0, 0.3] + [0.9] * 20)
    monkeypatch.setattr(torch_detect_loop, "validate", lambda *_: {"val_map50_95": next(scores), "val_map50": 0.5})
    lines, epochs = list[str](), list[int]()
    watch = Watch(lambda epoch, _: epochs.append(epoch), lines.append)
    budget = {"epochs": 24, "steps_per_epoch": 1, "batch": 4, "lr": 1e-3, "every": 2}
    run(DetectPlan(**budget, fixed=False), watch, images=4)
    assert epochs == list(range(2, 18, 2))
    assert lines == ["val has not improved for 12 epochs: ended after 16 of 24", "kept epoch 16: val mAP50-95 0.300"]
    epochs.clear()
    scores = iter([0.3] + [0.1] * 20)
    run(DetectPlan(**budget, fixed=True), watch, images=4)
    assert epochs == list(range(2, 26, 2))


def test_a_val_split_without_boxes_ends_nothing_early() -> None:
    lines, epochs = list[str](), list[int]()
    plan = DetectPlan(epochs=9, steps_per_epoch=1, batch=4, lr=1e-3, every=1, fixed=False)
    run(plan, Watch(lambda epoch, _: epochs.append(epoch), lines.append), val=pictures(3, 2, boxes=False), images=4)
    assert epochs == list(range(1, 10))
    assert lines == []


def test_a_single_picture_is_learnt_from() -> None:
    losses = list[float]()
    plan = DetectPlan.of(1, 2, 3, 1e-3)
    assert plan.steps_per_epoch == 1
    trained = run(plan, Watch(lambda _, metrics: losses.append(metrics["train_loss"])), images=1)
    torch.manual_seed(0)
    begun = build_detector(SMALL, 2, SIZE)
    assert np.isfinite(losses).all()
    assert len(losses) == 3
    assert not torch.equal(trained.heads[0].sides[-1].weight, begun.heads[0].sides[-1].weight)
