"""Operators that TF.js cannot run are refused by name before TensorFlow starts."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import info

from registry.errors import InputError
from serving.export.onnx import for_tfjs
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
        for_tfjs(with_operator(text), info())


def test_what_tfjs_does_run_is_not_refused() -> None:
    for_tfjs(with_operator("a = Asinh(tensor)\ne = Erf(a)\np = GlobalAveragePool(e)\nfound = Flatten(p)"), info())
    linear = 's = Constant<value_floats=[1.0,1.0,2.0,2.0]>()\nbig = Resize<mode="linear">(tensor, , s)\n'
    for_tfjs(with_operator(f"{linear}p = GlobalAveragePool(big)\nfound = Flatten(p)"), info())


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
    import numpy as np
    import onnxruntime

    model = with_operator(f"""
        part = Shape<start={start}, end={end}>(tensor)
        size = Squeeze(part)
        size_f = Cast<to=1>(size)
        means = ReduceMean<keepdims=0>(tensor, axes)
        found = Mul(means, size_f)""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([2, 3]), "axes"))
    changed = for_tfjs(model, info())
    assert "Squeeze" not in {node.op_type for node in changed.graph.node}
    onnx.checker.check_model(changed, full_check=True)
    pixels = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, {"tensor": pixels})[0] for each in (model, changed)
    )
    assert np.array_equal(before, after)
