"""Operators that TF.js cannot run are refused by name before TensorFlow starts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import info

from registry.errors import InputError
from serving.export.onnx import for_tensorflow
from serving.export.operators import NO_CONVERTER, NOT_RUNNING

OPS = sorted((Path(__file__).parents[3] / ".venv-tf").glob("lib/python3*/site-packages/onnx2tf/ops"))


def with_operator(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18, "strange" : 1]>
        g (float[batch,3,8,8] tensor) => (float[batch,3] probabilities) {{
          {text}
          probabilities = Softmax<axis=1>(found)
        }}""")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("found = Det(tensor)", "Det"),
        ("pooled = LpPool<kernel_shape=[8,8]>(tensor)\nfound = Flatten(pooled)", "LpPool"),
        ('s = Constant<value_floats=[1.0,1.0,2.0,2.0]>()\nbig = Resize<mode="cubic">(tensor, , s)\nfound = ReduceMean<keepdims=0>(big)', "cubic Resize"),
        ("found = strange.Thing(tensor)", "strange.Thing"),
    ],
)  # fmt: skip
def test_an_operator_that_tfjs_has_nothing_for_is_refused_by_name_before_tensorflow_starts(text: str, name: str) -> None:
    with pytest.raises(InputError, match=rf"model: has an operator that TF\.js cannot run \({name}\); replace it"):
        for_tensorflow(with_operator(text), info())


def test_what_only_tfjs_cannot_run_is_left_to_litert() -> None:
    text = "found = Det(tensor)"
    for_tensorflow(with_operator(text), info(), "litert")
    lost = "pooled = LpPool<kernel_shape=[8,8]>(tensor)\nfound = Flatten(pooled)"
    with pytest.raises(
        InputError, match=r"has an operator that cannot be converted to LiteRT \(LpPool\); replace it .* leave LiteRT"
    ):
        for_tensorflow(with_operator(lost), info(), "litert")


def test_what_tfjs_does_run_is_not_refused() -> None:
    for_tensorflow(with_operator("a = Asinh(tensor)\ne = Erf(a)\np = GlobalAveragePool(e)\nfound = Flatten(p)"), info())
    linear = 's = Constant<value_floats=[1.0,1.0,2.0,2.0]>()\nbig = Resize<mode="linear">(tensor, , s)\n'
    for_tensorflow(with_operator(f"{linear}p = GlobalAveragePool(big)\nfound = Flatten(p)"), info())


@pytest.mark.skipif(not OPS, reason="the TensorFlow world is not installed here")
def test_the_list_of_operators_is_that_of_the_installed_converter() -> None:
    has = {path.stem for path in OPS[0].glob("*.py")}
    ours = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""} - {"If", "Loop", "Scan"}
    assert ours - has == NO_CONVERTER & ours
    assert not NO_CONVERTER & has
    assert has >= NOT_RUNNING


@pytest.mark.parametrize(("start", "end"), [(0, 1), (1, 2), (3, 4)])
def test_one_size_is_gathered_from_a_whole_shape_and_is_the_same(start: int, end: int) -> None:
    """The converter takes a part of a shape for all of it: convnext's and swin's ends ask for the batch's size so."""
    model = with_operator(f"""
        part = Shape<start={start}, end={end}>(tensor)
        size = Squeeze(part)
        size_f = Cast<to=1>(size)
        means = ReduceMean<keepdims=0>(tensor, axes)
        found = Mul(means, size_f)""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([2, 3]), "axes"))
    changed = for_tensorflow(model, info())
    assert "Squeeze" not in {node.op_type for node in changed.graph.node}
    onnx.checker.check_model(changed, full_check=True)
    pixels = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, {"tensor": pixels})[0] for each in (model, changed)
    )
    assert np.array_equal(before, after)


@pytest.mark.parametrize("halved", ["Mul(half, plus_one)", "Mul(plus_one, half)"])
def test_gelu_gets_the_form_that_litert_knows_and_stays_the_same_function(halved: str) -> None:
    model = with_operator(f"""
        means = ReduceMean<keepdims=0>(tensor, axes)
        part = Div(means, root)
        curve = Erf(part)
        plus_one = Add(curve, unit)
        half_curve = {halved}
        found = Mul(means, half_curve)""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([2, 3]), "axes"))
    for name, value in (("root", 2**0.5), ("unit", 1.0), ("half", 0.5)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, np.float32), name))
    changed = for_tensorflow(model, info())
    inputs = {node.output[0]: set(node.input) for node in changed.graph.node}
    assert inputs["half_curve"] == {"means", "half"}
    assert inputs["found"] == {"half_curve", "plus_one"}
    onnx.checker.check_model(changed, full_check=True)
    pixels = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, {"tensor": pixels})[0] for each in (model, changed)
    )
    assert np.allclose(before, after, rtol=0, atol=1e-6)  # ONNX Runtime has a kernel of its own for one of the forms
    assert not np.allclose(before, before[::-1], rtol=0, atol=1e-3), "the control: other pixels"
