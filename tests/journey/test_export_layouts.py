"""Networks in which axes change places, as attention and channel shuffles have them, run in TF.js and in LiteRT as they were trained."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from detector import draw_shapes
from exporting import ROOT, about, build, tools
from untrained import sharpened

from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import write_info
from serving.bundle.preprocess import stack_pixels
from serving.export.subprocess_job import Bounds, Ties, run_subprocess

pytestmark = pytest.mark.journey


def convnext() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)], num_classes=4)


def swin() -> nn.Module:
    from torchvision.models.swin_transformer import SwinTransformer

    return SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], stochastic_depth_prob=0.0, num_classes=4)


def vit() -> nn.Module:
    from torchvision.models.vision_transformer import VisionTransformer

    network = VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=4)
    nn.init.normal_(network.heads.head.weight, std=0.1)  # torchvision's are zeros, which tell nothing apart
    return network


def shufflenet() -> nn.Module:
    from torchvision.models import shufflenet_v2_x0_5

    return shufflenet_v2_x0_5(num_classes=4)


@pytest.mark.parametrize(
    "network", [convnext, *(pytest.param(each, marks=pytest.mark.soak) for each in (swin, vit, shufflenet))]
)
def test_a_network_whose_axes_change_places_runs_in_tfjs_and_in_litert(
    network: Callable[[], nn.Module], tmp_path: Path
) -> None:
    """And its model states that it takes one image."""
    torch.manual_seed(0)
    images = draw_shapes(tmp_path / "shapes", 60, 5)
    info, folder = about(), tmp_path / "model"
    pixels = info.preprocess.tensor(stack_pixels(info.preprocess, images))
    package_torch(sharpened(network(), torch.from_numpy(pixels)), folder, 64, [(-1, 4)])
    write_info(folder, info)
    built = build(folder, info, images, "onnx", "tfjs-float32", "litert-float32")
    compared = [
        figures for figures in built.parity if figures.variant != "onnx"
    ]  # whose resize is its own, and sways shufflenet
    assert len(compared) == 2
    for figures in compared:
        assert figures.kept, figures
        assert figures.max_abs_diff < 2e-4, figures
        assert figures.control_agreement < 0.3
    document = json.loads((built.bundle.variants["tfjs-float32"] / "model.json").read_text())
    (given,) = document["signature"]["inputs"].values()
    assert [size["size"] for size in given["tensorShape"]["dim"]] == ["1", "64", "64", "3"]


def test_a_converter_that_fails_does_not_search_for_settings_until_memory_is_full(tmp_path: Path) -> None:
    """onnx2tf does so after each failure; ShuffleNet's reason came as `used more than 8 GB`."""
    operators = "\n".join(f"a{n + 1} = Transpose<perm=[0,2,3,1]>(a{n})\nb{n + 1} = Relu(a{n + 1})" for n in range(30))
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch,3,16,16] tensor) => (float[batch,16,16] probabilities) {{
          a0 = Identity(tensor)
          {operators}
          nothing = Constant<value = float {{0.5}}>()
          mean = Mean(a30, nothing)
          probabilities = ReduceMean<keepdims=0>(mean)
        }}""")
    onnx.save(model, tmp_path / "m.onnx")
    lines = list[str]()
    ties = Ties(lines.append)
    ties.feed.put("tfjs")
    job = {"onnx": str(tmp_path / "m.onnx"), "tfjs": str(tmp_path / "tfjs"), "variants": ["float32"]}
    command = [tools().tf_python, "-I", ROOT / "serving/export/tf_convert.py"]
    run_subprocess(command, job, "TensorFlow", bounds=Bounds(120, 2), ties=ties)
    assert len(lines) == 1
    assert lines[0].startswith("failed tfjs onnx2tf cannot convert Mean (")
    assert "nor can it be translated without onnx2tf: Mean" in lines[0]


UNARY = ["Abs", "Cos", "Erf", "Exp", "HardSigmoid", "Identity", "LeakyRelu", "Neg", "Relu", "Sigmoid", "Sin", "Tanh"]
BINARY = ["Add", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum"]
OTHERS = [
    "probabilities = Transpose<perm=[0,2,3,1]>(v)",
    "probabilities = Transpose<perm=[0,3,1,2]>(v)",
    "probabilities = Transpose<perm=[0,3,2,1]>(v)",
    "s = Constant<value_ints=[0,2,2,3,2,5]>()\nr = Reshape(v, s)\nprobabilities = Transpose<perm=[0,2,1,4,3,5]>(r)",
    ("s = Constant<value_ints=[0,2,2,6,5]>()\nr = Reshape(v, s)\nt = Transpose<perm=[0,2,1,3,4]>(r)\n"
    "u = Constant<value_ints=[0,-1,6,5]>()\nprobabilities = Reshape(t, u)"),
    "probabilities = AveragePool<kernel_shape=[2,2], strides=[2,1]>(v)",
    "probabilities = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(v)",
    "probabilities = MaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,1,0]>(v)",
    "probabilities = GlobalAveragePool(v)",
    "q = Relu(v)\nprobabilities = BatchNormalization(q, four, four, four, five_of_four)",
    "low = Constant<value_float=-0.2>()\nhigh = Constant<value_float=0.3>()\nprobabilities = Clip(v, low, high)",
    "low = Constant<value_float=0.1>()\nprobabilities = Clip(v, low)",
    "w = Relu(v)\nprobabilities = Concat<axis=1>(v, w)",
    "w = Relu(v)\nprobabilities = Concat<axis=-1>(w, v)",
    "w = Softmax<axis=2>(v)\nprobabilities = Concat<axis=2>(w, v)",
    "probabilities = Conv<group=4, pads=[1,0,1,0]>(v, by_channel)",
    "probabilities = Conv<group=2, strides=[2,1], dilations=[1,2]>(v, in_groups, four)",
    ("z = Constant<value_ints=[1]>()\n"
    "m = ReduceMean(v, z)\nprobabilities = Expand(m, t)\nt = Constant<value_ints=[1,4,6,5]>()"),
    "f = Flatten(v)\nprobabilities = Identity(f)",
    "i = Constant<value_ints=[3,0,-2]>()\nprobabilities = Gather<axis=1>(v, i)",
    "i = Constant<value_int=-1>()\nprobabilities = Gather<axis=1>(v, i)",
    "i = Constant<value_int=2>()\nprobabilities = Gather<axis=3>(v, i)",
    "g = ReduceMean<keepdims=0>(v, on_image)\nprobabilities = Gemm<transB=1>(g, square, four)",
    "g = ReduceMean<keepdims=0>(v, on_image)\nprobabilities = Gemm<alpha=0.5, beta=2.0>(g, square, four)",
    "t = Transpose<perm=[0,2,3,1]>(v)\nprobabilities = MatMul(t, square)",
    "t = Transpose<perm=[0,1,3,2]>(v)\nprobabilities = MatMul(v, t)",
    "t = Transpose<perm=[0,2,3,1]>(v)\nprobabilities = LayerNormalization<epsilon=1e-3>(t, four, four)",
    "p = Constant<value_ints=[0,1,2,0,0,0,1,3]>()\nprobabilities = Pad(v, p, half)",
    'p = Constant<value_ints=[1,2,2,1]>()\nprobabilities = Pad<mode="reflect">(v, p, , on_image)',
    *(f"probabilities = {name}<keepdims={keep}>(v, {axes})" for name in ("ReduceMean", "ReduceL2") for keep in (0, 1)
      for axes in ("on_image", "on_channels", "on_height")),
    *(f"probabilities = {name}(v, on_image)" for name in ("ReduceMax", "ReduceMin", "ReduceSum")),
    *(f"probabilities = Softmax<axis={axis}>(v)" for axis in (1, 2, -1)),
    "a, b = Split<axis=1, num_outputs=2>(v)\nprobabilities = Sub(b, a)",
    "a, b = Split<axis=3>(v, cuts)\nprobabilities = Concat<axis=3>(b, a)\ncuts = Constant<value_ints=[2,3]>()",
    ("b = Constant<value_ints=[1,-4]>()\ne = Constant<value_ints=[9223372036854775807,-1]>()\nx = Constant<value_ints=[1,2]>()\n"
    "z = Constant<value_ints=[2,1]>()\nprobabilities = Slice(v, b, e, x, z)"),
    "g = GlobalAveragePool(v)\nprobabilities = Squeeze(g, on_image)",
    "z = Constant<value_ints=[2]>()\nprobabilities = Unsqueeze(v, z)",
]  # fmt: skip
POSITIVE = [f"e = Exp(v)\nprobabilities = {name}(e)" for name in ("Log", "Sqrt", "Reciprocal")]
CASES = [
    *(f"probabilities = {name}(v)" for name in UNARY),
    *(f"e = Exp(v)\nprobabilities = {name}(e, {other})" for name in BINARY for other in ("half", "wide", "per_channel", "v")),
    *POSITIVE,
    *OTHERS,
]
CONSTANTS = {
    "weights": (4, 3, 1, 1), "four": (4,), "five_of_four": (4,), "wide": (5,), "per_channel": (4, 1, 1), "square": (4, 4),
    "by_channel": (4, 1, 3, 1), "in_groups": (4, 2, 2, 2), "half": (),
}  # fmt: skip
AXES = {"on_image": [2, 3], "on_channels": [1], "on_height": [-2]}


def small_network(text: str, start: str) -> onnx.ModelProto:
    """A network of one case: `v` is `[batch, 4, 6, 5]`, fresh from a convolution or after a softmax along a row."""
    lines = text.split("\n")
    lines.sort(key=lambda line: "Constant" not in line)
    body = "\n".join(["c = Conv(tensor, weights)", start, *lines])
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch,3,6,5] tensor) => (float[batch] probabilities) {{ {body} }}""")
    random = np.random.default_rng(1)
    arrays = {name: random.uniform(0.2, 0.9, shape).astype(np.float32) for name, shape in CONSTANTS.items()}
    arrays["weights"] -= 0.5
    arrays |= {name: np.asarray(axes, np.int64) for name, axes in AXES.items()}
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(arrays[name], name) for name in sorted(used & arrays.keys()))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def test_every_operator_of_the_direct_translation_answers_as_onnx_does_in_either_layout(tmp_path: Path) -> None:
    operators, texts = set[str](), dict[str, str]()
    pixels = np.random.default_rng(0).random((1, 3, 6, 5), dtype=np.float32)
    for start in ("v = Sub(c, half)", "v = Softmax<axis=3>(c)"):
        for text in CASES:
            name = f"case{len(texts):03}"
            model = small_network(text, start)
            operators |= {node.op_type for node in model.graph.node} - {"Constant"}
            (answer,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"tensor": pixels})
            onnx.save(model, tmp_path / f"{name}.onnx")
            np.savez(tmp_path / f"{name}.npz", pixels=pixels, answer=answer)
            texts[name] = text
    script = Path(__file__).with_name("tf_operator_matrix.py")
    done = subprocess.run([tools().tf_python, "-I", script, tmp_path, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert {texts[name]: fault for name, fault in report["faults"].items() if fault} == {}
    assert report["faults"].keys() == texts.keys()
    assert operators == set(report["operators"]), "each operator has a case"
