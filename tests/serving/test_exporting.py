"""What an export says before and after its converters ran: refusals by name, and the model's card."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from networks import LETTERBOX, info, tiny

from registry.errors import InputError
from registry.records import ParityFigures
from serving.bundle.preprocess import Preprocess
from serving.bundle.variants import variant_spec
from serving.export.build import check_request
from serving.export.card import Facts, missing_from, section_of, write_card
from serving.export.onnx import for_tfjs, settle
from serving.export.onnx_job import _derive
from serving.export.operators import NO_CONVERTER, NOT_RUNNING
from serving.export.parity import failed
from serving.export.reference import Reference
from serving.export.request import ExportRequest

OPS = sorted((Path(__file__).parents[2] / ".venv-tf").glob("lib/python3*/site-packages/onnx2tf/ops"))


def order(*wanted) -> ExportRequest:
    facts = Facts("net/1", "0" * 64, None, None)
    return ExportRequest(Reference(Path(), info(), Path()), facts, wanted, [])


def test_int8_without_training_images_ends_an_export_only_where_it_is_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_request(order(variant_spec("onnx"), variant_spec("onnx-int8", required=False)))
    with pytest.raises(InputError, match="onnx-int8: there are no training images to calibrate it with; give the data"):
        check_request(order(variant_spec("onnx"), variant_spec("onnx-int8")))
    variants = [{"name": name, "path": str(tmp_path / f"{name}.onnx")} for name in ("onnx", "onnx-int8")]
    _derive(settle(tiny(), info()), info(), {"variants": variants, "calibration": [], "provenance": {}})
    said = "failed onnx-int8 there are no training images to calibrate it with"
    assert capsys.readouterr().out.splitlines() == ["made onnx", said]
    assert [path.name for path in tmp_path.iterdir()] == ["onnx.onnx"]


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
    ours = {one.name for one in onnx.defs.get_all_schemas() if one.domain == ""} - {"If", "Loop", "Scan"}
    assert ours - has == NO_CONVERTER & ours
    assert not NO_CONVERTER & has
    assert has >= NOT_RUNNING


def figures(**changes: object) -> ParityFigures:
    told = {"variant": "onnx", "images": 20, "top1_agreement": 1.0, "max_abs_diff": 2.2e-4, "mean_abs_diff": 1e-5}
    return ParityFigures(**told | {"control_agreement": 0.1, "control_max_abs_diff": 0.9} | changes)


def test_a_card_tells_how_near_its_exports_are() -> None:
    parity = [figures(), failed(variant_spec("tfjs-uint8", required=False), 20, "has no operator")]
    card = write_card(Facts("net/1", "0" * 64, None, Decimal("0.1"), "`digits`: 9 images."), info(), parity)
    assert section_of(card, "Exports").splitlines()[2:] == [
        "| onnx | 20 | 1.000 | 2e-04 | yes |",
        "| tfjs-uint8 | 20 |  |  | no |",
    ]
    assert section_of(card, "Data") == "`digits`: 9 images."
    assert section_of(card, "Nothing") == ""


def test_a_detectors_card_is_complete_without_scores_that_nobody_can_take_here_but_not_without_parity() -> None:
    about = info(task="detect", preprocess=Preprocess(size=64, **LETTERBOX), trainer="yolo")
    facts = Facts("shapes/1", "0" * 64, None, None)
    assert missing_from(write_card(facts, about)) == ["parity"]
    card = write_card(facts, about, [figures(map_difference=0.004)])
    assert missing_from(card) == []
    assert "Not evaluated: detectors are not scored here." in card
    assert "| onnx | 20 | 1.000 | 4e-03 | yes |" in card
    assert "- licence: AGPL-3.0" in card
