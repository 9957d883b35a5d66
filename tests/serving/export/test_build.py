"""What cannot be exported is refused before a converter starts, and an optional variant costs only itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
from networks import info, tiny

from registry.errors import InputError
from serving.bundle.variants import variant_spec
from serving.export.build import check_request
from serving.export.card import Facts
from serving.export.onnx import settle
from serving.export.onnx_job import _derive
from serving.export.reference import Reference
from serving.export.request import ExportRequest


def request(*wanted) -> ExportRequest:
    facts = Facts("net/1", "0" * 64, None, None)
    return ExportRequest(Reference(Path(), info(), Path()), facts, wanted, [])


def test_int8_without_training_images_ends_an_export_only_where_it_is_required(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_request(request(variant_spec("onnx"), variant_spec("onnx-int8", required=False)))
    with pytest.raises(InputError, match="onnx-int8: there are no training images to calibrate it with; give the data"):
        check_request(request(variant_spec("onnx"), variant_spec("onnx-int8")))
    variants = [{"name": name, "path": str(tmp_path / f"{name}.onnx")} for name in ("onnx", "onnx-int8")]
    _derive(settle(tiny(), info()), info(), {"variants": variants, "calibration": [], "provenance": {}})
    line = "failed onnx-int8 there are no training images to calibrate it with"
    assert capsys.readouterr().out.splitlines() == ["made onnx", line]
    assert [path.name for path in tmp_path.iterdir()] == ["onnx.onnx"]
