"""Parity notices an export that is wrong, and a measurement that could not notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from registry.errors import InputError
from serving.export.child import ToolError, run_child
from serving.export.parity import compare


def rows(count: int = 60, classes: int = 4) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.dirichlet(np.full(classes, 0.3), count).astype(np.float32)


def test_the_same_answers_agree_and_the_wrong_images_do_not() -> None:
    figures = compare("onnx", rows(), rows())
    assert figures.top1_agreement == 1.0
    assert figures.max_abs_diff == 0.0
    assert figures.control_agreement == 0.0
    assert figures.control_max_abs_diff > 0.5


def test_a_transposed_export_is_noticed() -> None:
    assert compare("onnx", rows(), rows()[:, ::-1]).top1_agreement < 0.6


def test_one_image_that_differs_is_noticed() -> None:
    off = rows()
    off[7] = off[7][::-1]
    figures = compare("onnx", rows(), off)
    assert figures.top1_agreement < 1.0 or figures.max_abs_diff > 0.01


def test_nan_agrees_with_nothing() -> None:
    off = rows()
    off[3] = np.nan
    figures = compare("onnx", rows(), off)
    assert figures.top1_agreement == pytest.approx(59 / 60)
    assert figures.max_abs_diff == float("inf")


def test_an_export_that_answers_the_same_always_fails_agreement() -> None:
    constant = np.tile(rows()[0], (60, 1))
    assert compare("onnx", rows(), constant).top1_agreement < 0.6


def test_a_model_that_says_one_thing_of_everything_cannot_be_measured() -> None:
    one = np.tile(np.float32([0.9, 0.1]), (10, 1))
    with pytest.raises(InputError, match="same of every image"):
        compare("onnx", one, one)


def test_a_child_that_fails_leaves_its_last_words(tmp_path: Path) -> None:
    import sys

    script = tmp_path / "fails.py"
    script.write_text("import sys; print('working', flush=True); sys.exit('no such operator: HardSwish')")
    lines: list[str] = []
    with pytest.raises(ToolError, match="no such operator: HardSwish"):
        run_child([sys.executable, script], {}, "converter", on_line=lines.append)
    assert lines == ["working"]


def test_a_child_that_hangs_is_killed_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import time

    import psutil

    monkeypatch.setattr("serving.export.child.TIMEOUT_S", 1.5)
    script = tmp_path / "hangs.py"
    script.write_text("import subprocess, sys\nsubprocess.Popen(['sleep', '97531'])\nimport time; time.sleep(600)")
    began = time.monotonic()
    with pytest.raises(ToolError, match="-9"):
        run_child([sys.executable, script], {}, "converter")
    assert time.monotonic() - began < 20
    time.sleep(0.2)
    assert not [one for one in psutil.process_iter(["cmdline"]) if "97531" in (one.info["cmdline"] or [])]


def test_a_child_that_cannot_start_is_one_line() -> None:
    from registry.errors import UnavailableError

    with pytest.raises(UnavailableError, match="cannot be started"):
        run_child(["/no/such/python"], {}, "TensorFlow")
