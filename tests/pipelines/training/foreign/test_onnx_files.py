"""An ONNX classifier, however its exporter wrote it, ends as the same model; what is no classifier is one line."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, answers_of, bring, expected, onnx_network

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.options import KNOWN, Options
from registry.errors import InputError, IntegrityError, ModelyardError

KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}
CLOSE = {"float32": 1e-4, "float16": 5e-2, "float64": 1e-4, "uint8": 1e-4}


@pytest.mark.parametrize(
    ("kind", "layout", "batch"), [*itertools.product(KINDS, ["nchw", "nhwc"], ["batch", 1]), ("float32", "nchw", 4)]
)
def test_numbers_layouts_and_batches_of_every_kind_are_the_same_model(
    kind: str, layout: str, batch: int | str, painted: DataSet, tmp_path: Path
) -> None:
    path = onnx_network(tmp_path / "theirs.onnx", kind=KINDS[kind], layout=layout, batch=batch)
    brought = bring(path, painted, tmp_path / "work", Options(normalise=KNOWN["0..1"], labels=tuple(LABELS)))
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < CLOSE[kind]
    assert brought.info.framework == "onnx"
    assert brought.info.labels == LABELS


def test_bytes_in_are_taken_as_the_network_takes_them(painted: DataSet, tmp_path: Path) -> None:
    path = onnx_network(tmp_path / "theirs.onnx", KNOWN["0..255"], kind=TensorProto.UINT8, layout="nhwc")
    brought = bring(path, painted, tmp_path / "work")
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < CLOSE["uint8"]


@pytest.mark.parametrize("opset", [11, 13, 17, 20, 21])
def test_older_and_newer_operator_sets_are_converted(opset: int, painted: DataSet, tmp_path: Path) -> None:
    path = onnx_network(tmp_path / "theirs.onnx", opset=opset)
    brought = bring(path, painted, tmp_path / "work")
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4


@pytest.mark.parametrize("name", KNOWN)
def test_the_normalisation_that_no_file_states_is_found_out_and_said(name: str, painted: DataSet, tmp_path: Path) -> None:
    path, spoken = onnx_network(tmp_path / "theirs.onnx", KNOWN[name]), list[str]()
    brought = bring(path, painted, tmp_path / "work", spoken=spoken)
    assert brought.params["normalise"] == name
    assert any(f"no normalisation: {name} fits best" in line for line in spoken)
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-3


def test_probabilities_are_left_alone_and_logits_get_a_softmax(painted: DataSet, tmp_path: Path) -> None:
    files = painted.files(painted.rows("test"))
    for softmax, sentence in ((True, "its outputs are probabilities"), (False, "its outputs are logits: a softmax is added")):
        spoken = list[str]()
        path = onnx_network(tmp_path / f"{softmax}.onnx", softmax=softmax)
        brought = bring(path, painted, tmp_path / f"work {softmax}", spoken=spoken)
        assert sentence in spoken
        assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4
    with pytest.raises(InputError, match="do not sum to 1"):
        bring(path, painted, tmp_path / "third", Options(outputs="probabilities"))


@pytest.mark.parametrize(
    "metadata",
    [
        {"names": str(dict(enumerate(LABELS[::-1])))},
        {"labels": json.dumps(LABELS[::-1])},
        {"classes": ",".join(LABELS[::-1])},
        {"id2label": json.dumps(dict(enumerate(LABELS[::-1])))},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
def test_the_order_in_the_metadata_is_put_into_the_data_sets(
    metadata: dict[str, str], painted: DataSet, tmp_path: Path
) -> None:
    path, spoken = onnx_network(tmp_path / "theirs.onnx", labels=LABELS[::-1], metadata=metadata), list[str]()
    brought = bring(path, painted, tmp_path / "work", spoken=spoken)
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4
    assert any("in the order noon, night, dusk" in line for line in spoken)


def test_an_order_that_nobody_states_is_checked_on_the_pictures(painted: DataSet, tmp_path: Path) -> None:
    path = onnx_network(tmp_path / "theirs.onnx", labels=LABELS[::-1])
    with pytest.raises(InputError, match="do not fit the data set's order of them; give --labels; noon,night,dusk would fit 1"):
        bring(path, painted, tmp_path / "work")
    brought = bring(path, painted, tmp_path / "again", Options(labels=tuple(LABELS[::-1])))
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4


def test_a_free_size_wants_to_be_told_and_a_fixed_one_is_not_changed(painted: DataSet, tmp_path: Path) -> None:
    free, fixed = onnx_network(tmp_path / "free.onnx", side="side"), onnx_network(tmp_path / "fixed.onnx")
    with pytest.raises(InputError, match="pictures of any size; say with --imgsz"):
        bring(free, painted, tmp_path / "one")
    assert bring(free, painted, tmp_path / "two", Options(size=48)).info.preprocess.size == 48
    with pytest.raises(InputError, match="takes 32 pixels only"):
        bring(fixed, painted, tmp_path / "three", Options(size=48))


def test_weights_in_a_file_beside_it_are_read_and_nothing_else_is(painted: DataSet, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    model = onnx.load(onnx_network(tmp_path / "inside.onnx"))
    outside = tmp_path / "whole" / "theirs.onnx"
    onnx.save(model, outside, save_as_external_data=True, location="theirs.data", size_threshold=0)
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(bring(outside, painted, tmp_path / "w"), files) - expected(painted, files)).max() < 1e-4
    (tmp_path / "secret").write_bytes((tmp_path / "whole" / "theirs.data").read_bytes())
    (tmp_path / "whole" / "link").symlink_to(tmp_path / "secret")
    for location in ("../secret", str(tmp_path / "secret"), "link", ""):
        hostile = onnx.load(outside, load_external_data=False)
        for tensor in hostile.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == "location" else entry.value
        (tmp_path / "whole" / "hostile.onnx").write_bytes(hostile.SerializeToString())
        with pytest.raises(IntegrityError, match="weights from"):
            bring(tmp_path / "whole" / "hostile.onnx", painted, tmp_path / "never")
    (tmp_path / "whole" / "theirs.data").unlink()
    with pytest.raises(InputError, match=r"keeps its weights in theirs\.data, which is not there"):
        bring(outside, painted, tmp_path / "never")
    assert list((tmp_path / "never").iterdir()) == []


def changed(path: Path, change) -> Path:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def _custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "acme"
    model.opset_import.add(domain="acme", version=1)


def _not_a_number(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "bias")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(3, np.nan, np.float32), "bias"))


def _blind(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "matrix")
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((3, 3), np.float32), "matrix"))


def _two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def _mixes_its_batch(model: onnx.ModelProto) -> None:
    model.graph.node[1].CopyFrom(helper.make_node("ReduceMean", ["numbers", "whole"], ["mean"], keepdims=1))
    model.graph.node.insert(2, helper.make_node("Add", ["mean", "numbers"], ["sum"]))
    model.graph.node.insert(3, helper.make_node("ReduceMean", ["sum", "axes"], ["pooled"], keepdims=1))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([0, 2, 3], np.int64), "whole"))


def _endless(model: onnx.ModelProto) -> None:
    again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    value = helper.make_tensor_value_info("value", TensorProto.FLOAT, None)
    more = helper.make_tensor_value_info("more", TensorProto.FLOAT, None)
    nodes = [helper.make_node("Identity", ["again"], ["yes"]), helper.make_node("Identity", ["value"], ["more"])]
    body = helper.make_graph(
        nodes, "body", [turn, again, value], [helper.make_tensor_value_info("yes", TensorProto.BOOL, []), more]
    )
    model.graph.node[0].CopyFrom(helper.make_node("Loop", ["", "true", "input"], ["numbers"], body=body))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(True), "true"))


FAULTS = {
    "an endless loop": (_endless, "has a loop (Loop), which may never end"),
    "a custom operator": (_custom, "uses operators of 'acme'"),
    "no numbers": (_not_a_number, "is not a number"),
    "a blind network": (_blind, "answers the same for every picture"),
    "two inputs": (_two_inputs, "takes 2 inputs (input, more)"),
    "an unknown operator": (lambda model: setattr(model.graph.node[1], "op_type", "Gues"), "Gues"),
    "a batch that is mixed": (_mixes_its_batch, "otherwise for a picture alone"),
    "no graph": (lambda model: model.ClearField("graph"), "has no graph"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_network_that_cannot_be_a_classifier_is_one_line(fault: str, painted: DataSet, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    path = changed(onnx_network(tmp_path / "theirs.onnx"), change)
    with pytest.raises(ModelyardError, match=re.escape(message)) as caught:
        bring(path, painted, tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ["dusk", "night"]}, "has 2 outputs and has, by the data set, 3 classes"),
        ({"metadata": {"labels": "dusk,night"}}, "has 3 outputs and names 2 classes"),
        (
            {"metadata": {"labels": "dusk,night,dawn"}},
            "knows the classes dusk, night, dawn, the data set has dusk, night, noon",
        ),
        ({"kind": TensorProto.INT32}, "takes INT32 as input"),
    ],
)
def test_what_does_not_fit_the_data_set_is_one_line(
    fields: dict[str, object], message: str, painted: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        bring(onnx_network(tmp_path / "theirs.onnx", **fields), painted, tmp_path / "work")


@pytest.mark.parametrize("shape", [[1, 1, 32, 32], [1, 3, 32, 48], [1, 3, 32], [1, 0, 0, 0]])
def test_what_takes_no_square_of_three_channels_is_one_line(shape: list[int], painted: DataSet, tmp_path: Path) -> None:
    path = onnx_network(tmp_path / "theirs.onnx")
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("input", TensorProto.FLOAT, [size or "any" for size in shape]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"channels|dimensions|32 x 48"):
        bring(path, painted, tmp_path / "work")
