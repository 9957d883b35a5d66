"""What a model repository holds beside the bundle: a card, the handler, and the code that the handler needs."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING

from serving.bundle.bundle import Bundle
from serving.targets.huggingface.bundle_store import bundle_files
from serving.targets.huggingface.hub import Files

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_ROOT = Path(__file__).resolve().parents[3]
CODE = (
    "registry/__init__.py", "registry/digests.py", "registry/errors.py",
    "serving/__init__.py", "serving/bundle/__init__.py", "serving/bundle/checked.py",
    "serving/bundle/decode.py", "serving/bundle/exif.py",
    "serving/bundle/image_header.py", "serving/bundle/preprocess.py",
    "serving/inference/__init__.py", "serving/inference/outputs.py", "serving/inference/runner.py",
    "serving/inference/standalone.py", "serving/inference/texts.py",
)  # fmt: skip
"""The predictor that parity was measured with, and no other code of ours."""
_OWN = ("onnxruntime", "simplejpeg")
"""What the endpoint's image lacks: in the versions that parity was measured with."""
_OF_THE_IMAGE = "numpy>=1.26\npillow>=11\n"
"""What it has, in versions that its other packages were built around (numpy 1.26): left as it is. Each new endpoint is
smoke-tested against the trained model's answers before it gets traffic.
"""
_CUDA = "onnxruntime-gpu[cuda,cudnn]>=1.31,<2"
"""Its releases do not keep pace with onnxruntime's, so it has bounds of its own."""
_SCORE = re.compile(r"^(Top-1|mAP50-95) (\d\.\d+) \(.*?\) on (\d+) images", re.MULTILINE)
_TASK = {True: "object-detection", False: "image-classification"}
"""Whether it detects → what the Hub calls its task."""
_LICENCE = re.compile(r"^- licence: (.+)$", re.MULTILINE)


def repository_files(bundle: Bundle, *, gpu: bool = False) -> Files:
    """Everything, by its path in the repository; for a GPU with ONNX Runtime's CUDA build."""
    handler = Path(__file__).with_name("handler.py")
    versions = {name: f"{name}=={importlib.metadata.version(name)}" for name in _OWN}
    pins = "".join(f"{_CUDA if gpu and name == 'onnxruntime' else pin}\n" for name, pin in versions.items()) + _OF_THE_IMAGE
    ours: dict[str, bytes | Path] = {f"code/{name}": _ROOT / name for name in CODE}
    ours |= {"handler.py": handler, "requirements.txt": pins.encode(), "README.md": model_card(bundle).encode()}
    return bundle_files(bundle) | ours


def model_card(bundle: Bundle) -> str:
    """The bundle's card, under the metadata that the Hub reads: the task, the licence, the figures."""
    from huggingface_hub import ModelCardData

    path, name = bundle.folder / "card.md", bundle.index.model
    text = path.read_text(encoding="utf-8") if path.exists() else f"# {name}/{bundle.index.version}\n"
    licence, score, detects = _LICENCE.search(text), _SCORE.search(text), "\nAn object detector (" in text
    agpl = licence is not None and licence[1].startswith("AGPL-3.0")
    data = ModelCardData(
        license="agpl-3.0" if agpl else "other",
        library_name="onnx",
        pipeline_tag=_TASK[detects],
        tags=["modelyard", "onnxruntime"],
        model_name=name if score else None,
        eval_results=[_score(score[1], float(score[2]), int(score[3]))] if score else None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _score(name: str, value: float, images: int) -> EvalResult:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=_TASK[name != "Top-1"],
        dataset_type="held-out",
        dataset_name=f"{images} held-out images",
        metric_type="accuracy" if name == "Top-1" else "mAP",
        metric_value=value,
    )
