"""What is put around a network answers as the code that it stands for; each comparison has a control that fails."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import LETTERBOX, info, pictures, tiny

from registry.errors import InputError
from serving.bundle.modelinfo import Suppression
from serving.bundle.preprocess import Preprocess
from serving.export.graphs import OPSET, assemble, image_graph, logits_graph, suppression_graph
from serving.export.onnx import for_tensorflow, seal_model, settle
from serving.export.quantize import to_float16, to_int8
from serving.export.reference import suppress
from serving.inference.runner import Runner

SHRINK = [(128, 128), (640, 480), (480, 640), (641, 479), (300, 900), (1000, 33)]
GROW = [(100, 60), (60, 100), (16, 12), (1, 90), (33, 200), (20, 20)]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), np.uint8))


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray], name: str | None = None) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run([name] if name else None, feeds)[0]


def levels_apart(preprocess: Preprocess, image: Image.Image, model: onnx.ModelProto) -> np.ndarray:
    tensor = run(model, {"images": np.asarray(image)[None]}, "tensor")
    return np.abs(tensor - preprocess.tensor(preprocess.fit(image)[None])) * 255


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_a_picture_that_shrinks_is_resized_as_pillow_does_to_the_bit(layout: str) -> None:
    preprocess = Preprocess(size=32, layout=layout)
    model = image_graph(preprocess)
    onnx.checker.check_model(model, full_check=True)
    for size in SHRINK:
        apart = levels_apart(preprocess, noise(*size), model)
        assert apart.max() < 1.01, size
        assert (apart > 0.5).mean() < 0.005, size


def test_a_picture_that_grows_differs_by_single_grey_levels() -> None:
    preprocess = Preprocess(size=64)
    for size in GROW:
        apart = levels_apart(preprocess, noise(*size), image_graph(preprocess))
        assert apart.max() < 2.01, size
        assert (apart > 0.5).mean() < 0.03, size


OTHER_WAYS = [
    Preprocess(size=32, resize="both sides, bilinear, antialiased"),
    Preprocess(size=32, resize="both sides, bicubic, antialiased"),
    Preprocess(size=32, resize="shortest side, bicubic, antialiased", resized=36),
    Preprocess(size=31, resized=37),
    Preprocess(size=30, crop="centre, rounded down", resized=37),
]


@pytest.mark.parametrize("how", OTHER_WAYS, ids=lambda how: f"{how.resize}, {how.side} to {how.size}")
def test_squeezed_bicubic_and_cropped_from_more_are_pillows_too(how: Preprocess, tmp_path: Path) -> None:
    """Whole, from a whole picture; and behind the server's own resize, after which the graph changes nothing."""
    model = image_graph(how)
    onnx.checker.check_model(model, full_check=True)
    for size in SHRINK + GROW:
        apart = levels_apart(how, noise(*size), model)
        assert apart.max() < 3.01, size
        assert (apart > 0.5).mean() < 0.04, size
    path = tmp_path / "model.onnx"
    seal_model(assemble(settle(tiny(size=how.size), info(preprocess=how)), info(preprocess=how), shape="image"), path, {})
    for size in SHRINK:
        held = io.BytesIO()
        noise(*size).save(held, "PNG")
        whole, served = (Runner(path, how, fitted=fitted).answers([held.getvalue()]) for fitted in (False, True))
        assert np.abs(whole - served).max() < 1e-3, size


def test_another_resize_would_be_noticed() -> None:
    """The control: the same graph without antialiasing is far off."""
    model = image_graph(Preprocess(size=32))
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        kept = [attribute for attribute in node.attribute if attribute.name not in {"antialias", "exclude_outside"}]
        del node.attribute[:]
        node.attribute.extend(kept)
    assert levels_apart(Preprocess(size=32), noise(640, 480), plain).max() > 30


def test_the_letterbox_is_opencvs_within_a_grey_level() -> None:
    preprocess = Preprocess(size=64, **LETTERBOX)
    model = image_graph(preprocess)
    for size in SHRINK + GROW:
        assert levels_apart(preprocess, noise(*size), model).max() < 1.01, size


def test_values_are_taken_as_bytes_are() -> None:
    preprocess, image = Preprocess(size=32), noise(90, 70)
    pixels = np.asarray(image)[None]
    values = pixels.transpose(0, 3, 1, 2).astype(np.float32)
    tensor = run(image_graph(preprocess, from_values=True), {"pixel_values": values}, "tensor")
    assert np.array_equal(tensor, run(image_graph(preprocess), {"images": pixels}, "tensor"))


def test_a_whole_model_takes_batches_and_says_where_it_comes_from(tmp_path: Path) -> None:
    about = info()
    core = settle(tiny(), about)
    seal_model(assemble(core, about, shape="image"), tmp_path / "m.onnx", {"modelyard.model_sha256": "0" * 64})
    model = onnx.load(tmp_path / "m.onnx")
    assert {prop.key: prop.value for prop in model.metadata_props} == {"modelyard.model_sha256": "0" * 64}
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    batch = np.stack([np.asarray(noise(50, 40)), np.asarray(noise(50, 40).rotate(180))])
    together = run(model, {"images": batch})
    alone = np.concatenate([run(model, {"images": image[None]}) for image in batch])
    assert np.allclose(together, alone, atol=1e-6)
    assert not np.allclose(together[0], together[1], atol=1e-3)


def test_logits_give_the_probabilities_back() -> None:
    given = np.float32([[0.7, 0.3, 0.0]])
    logits = run(logits_graph(), {"probabilities": given})
    powers = np.exp(logits - logits.max())
    assert np.allclose(powers / powers.sum(), given, atol=1e-6)


def predictions(count: int, boxes: int = 84, classes: int = 3) -> np.ndarray:
    random = np.random.default_rng(count)
    middle, extent = (np.repeat(random.uniform(*bounds, (count, 2, boxes // 4)), 4, 2) for bounds in ((8, 56), (6, 24)))
    middle += random.normal(0, 0.7, middle.shape)
    return np.concatenate([middle, extent, random.uniform(0, 1, (count, classes, boxes)) ** 2], 1).astype(np.float32)


def test_suppression_in_the_graph_keeps_what_torchvisions_keeps() -> None:
    import torch

    about = info(size=64, task="detect", preprocess=Preprocess(size=64, **LETTERBOX), strides=(8, 16, 32))
    given, size = predictions(4), (200, 150)
    ratio = 64 / 200
    feeds = {"predictions": given, "ratio": np.float64([ratio]), "before": np.float64([8, 0]), "sides_of": np.int64([150, 200])}
    detections = run(suppression_graph(about.suppression, to_image=True), feeds)
    wanted = np.stack([suppress(torch.from_numpy(raw), about, size) for raw in given])
    assert detections.shape[2] == 6
    rows = detections.shape[1]
    assert (wanted[:, :rows, 4] > 0).sum() > 40
    assert not wanted[:, rows:].any()
    assert np.allclose(detections, wanted[:, :rows], atol=1e-3)
    looser = run(suppression_graph(Suppression(iou=0.99), to_image=True), feeds)
    assert (looser[..., 4] > 0).sum() > (detections[..., 4] > 0).sum()


def crowd(images: int, boxes: int, classes: int) -> np.ndarray:
    """Predictions of near-by boxes, each sure of one of many classes."""
    random = np.random.default_rng(classes)
    middle = np.repeat(random.uniform(20, 620, (images, 2, boxes // 6)), 6, 2) + random.normal(0, 1.2, (images, 2, boxes))
    extent = np.repeat(random.uniform(8, 60, (images, 2, boxes // 6)), 6, 2) + random.normal(0, 0.8, (images, 2, boxes))
    scores, kinds = np.full((images, classes, boxes), 0.01), np.repeat(random.integers(0, classes, (images, boxes // 6)), 6, 1)
    for image in range(images):
        scores[image, kinds[image], np.arange(boxes)] = random.uniform(0.3, 0.99, boxes)
    return np.concatenate([middle, extent, scores], 1).astype(np.float32)


def test_classes_are_suppressed_apart_to_the_bit_however_many_there_are() -> None:
    """Ultralytics moves each class's boxes 7680 pixels further, which float32 cannot do exactly for many classes."""
    import torch
    from torchvision.ops import nms

    about = info(labels=1000, size=640, task="detect", preprocess=Preprocess(size=640, **LETTERBOX), strides=(8, 16, 32))
    given = crowd(8, 900, 1000)
    detections = run(suppression_graph(about.suppression, to_image=False), {"predictions": given})
    wanted = np.stack([suppress(torch.from_numpy(raw), about, (640, 640)) for raw in given])
    assert np.array_equal(detections[..., 4:], wanted[:, : detections.shape[1], 4:])
    kept, moved = 0, 0
    for predictions, ours in zip(torch.from_numpy(given), detections, strict=True):
        score, kind = predictions[4:].max(0)
        boxes = (
            torch.cat([predictions[:2] - predictions[2:4] / 2, predictions[:2] + predictions[2:4] / 2]).T
            + kind[:, None] * 7680.0
        )
        kept, moved = kept + int((ours[:, 4] > 0).sum()), moved + len(nms(boxes, score, about.suppression.iou)[:300])
    assert kept != moved  # the control


def test_hard_swish_is_decomposed_for_tensorflow_and_stays_the_same_function() -> None:
    about, pixels = info(), pictures(8)
    core = settle(tiny(activation="HardSwish"), about)
    plain = for_tensorflow(core, about)
    assert "HardSwish" in {node.op_type for node in core.graph.node}
    assert "HardSwish" not in {node.op_type for node in plain.graph.node}
    tensor = about.preprocess.tensor(pixels)
    assert np.allclose(run(core, {"tensor": tensor}), run(plain, {"tensor": tensor}), atol=1e-6)
    assert not np.allclose(run(core, {"tensor": tensor}), run(settle(tiny(), about), {"tensor": tensor}), atol=1e-2)


def test_control_flow_is_refused_for_tensorflow_by_name() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch,3] tensor) => (float[batch,3] probabilities) {
          least = ReduceMin<keepdims=0>(tensor)
          nought = Constant<value = float {0.0}>()
          low = Less(least, nought)
          probabilities = If(low) <then_branch = a () => (float[batch,3] x) { x = Neg(tensor) },
                                   else_branch = b () => (float[batch,3] y) { y = Identity(tensor) }>
        }""")
    with pytest.raises(InputError, match=r"control flow \(If\), which TF.js cannot run"):
        for_tensorflow(model, info())


def test_a_head_that_does_not_fit_the_classes_is_refused() -> None:
    with pytest.raises(InputError, match="has 3 outputs for 4 classes"):
        settle(tiny(classes=3), info(labels=4))


def test_reduced_precision_is_smaller_and_near() -> None:
    about, pixels = info(), pictures(60)
    core = settle(tiny(), about)
    tensor = about.preprocess.tensor(pixels)
    exact, half = run(core, {"tensor": tensor}), run(to_float16(core), {"tensor": tensor})
    whole = run(to_int8(core, tensor[:40], detects=False), {"tensor": tensor})
    assert 0 < np.abs(half - exact).max() < 1e-2
    assert 1e-4 < np.abs(whole - exact).max() < 0.3
    assert (whole.argmax(1) == exact.argmax(1)).mean() > 0.9
    kinds = {node.op_type for node in to_int8(core, tensor[:4], detects=False).graph.node}
    assert "QuantizeLinear" in kinds


def test_int8_without_calibration_images_is_one_line() -> None:
    with pytest.raises(InputError, match="no training images to calibrate"):
        to_int8(settle(tiny(), info()), np.zeros((0, 3, 32, 32), np.float32), detects=False)
