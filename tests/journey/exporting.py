"""From a network to its measured bundle, in this process."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from torch import nn

from registry.records import Limits
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.bundle.variants import KNOWN, variant_spec
from serving.export.build import build_bundle
from serving.export.card import Facts
from serving.export.parity import compare, judge, pack
from serving.export.reference import Reference
from serving.export.request import Built, ExportRequest, Tools
from serving.export.subprocess_job import Bounds

ROOT = Path(__file__).parents[2]


def small_network() -> nn.Module:
    """Four convolutions with batch normalisation, and a linear layer."""
    widths = (3, 16, 24, 32, 48)
    blocks = [[nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()] for before, after in pairwise(widths)]
    return nn.Sequential(
        *(layer for block in blocks for layer in block), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 4)
    )


def about(size: int = 64, labels: int = 4) -> ModelInfo:
    names = [f"class{index}" for index in range(labels)]
    preprocess = Preprocess(size=size)
    return ModelInfo(trainer="torch", arch="x", framework="torch", labels=names, preprocess=preprocess, dataset="0" * 64)


def tools() -> Tools:
    from pipelines.bundles.tools import find_node

    node_modules = ROOT / "serving" / "browser" / "node_modules"
    return Tools(ROOT / ".venv-tf" / "bin" / "python", find_node(), node_modules, Bounds(300, 8))


def build(folder: Path, info: ModelInfo, images: list[Path], *names: str, calibration: int = 20) -> Built:
    """Export; a name with a question mark is of a variant that is not required."""
    facts, loose = Facts("net/1", "0" * 64, None, None), Limits(top1_agreement=0.9, max_abs_diff=0.1)
    wanted = [variant_spec(name.rstrip("?"), loose, required=not name.endswith("?")) for name in names]
    order = ExportRequest(Reference(folder, info, tools().tf_python), facts, wanted, images, images[:calibration])
    return build_bundle(order, folder.parent / "bundle", tools(), lambda _: None)


def check_answers(name: str, trained: np.ndarray, result: dict) -> None:
    """Within the variant's limits, and not so after the images have been shuffled."""
    spec = variant_spec(name, KNOWN[name].limits)
    answers = pack(result["answers"], trained.shape[1] if trained.ndim == 3 else None)
    figures = judge(compare(name, trained, answers), spec)
    assert figures.kept, figures
    assert not judge(compare(name, trained, np.roll(answers, 1, axis=0)), spec).kept, "wrong images pass: nothing was measured"
