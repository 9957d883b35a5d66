"""A page that runs a bundle's classifier in the browser: a folder, or a free static Space at Hugging Face."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from registry.errors import InputError, NotFoundError
from registry.files import building
from serving.bundle.bundle import Bundle
from serving.targets.huggingface.repositories import PAGE

_SERVING = Path(__file__).resolve().parents[2]
_PAGE = _SERVING / "browser" / "space"
_FROM_TF = (
    "tfjs-core/dist/tf-core.min.js",
    "tfjs-backend-cpu/dist/tf-backend-cpu.min.js",
    "tfjs-converter/dist/tf-converter.min.js",
    "tfjs-backend-wasm/dist/tf-backend-wasm.min.js",
    "tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm",
    "tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm",
    "tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm",
)
_VARIANTS = ("tfjs-float16", "tfjs-float32", "tfjs-uint8")
"""In order of preference: float16 has half the bytes, and answers that differ in the fourth digit."""

_CARD = """---
title: {title}
sdk: static
pinned: false
---

The classifier `{model}/{version}` in the browser, by TensorFlow.js. No picture leaves the device.

Bundle `{bundle}`; made with Modelyard.
"""


def space_files(bundle: Bundle, node_modules: Path) -> Mapping[str, bytes | Path]:
    """The page's files by their paths. Raises NotFoundError for a bundle without TF.js, InputError for a detector's."""
    index = bundle.index
    variant = next((bundle.variants[name] for name in _VARIANTS if name in bundle.variants), None)
    if variant is None:
        remedy = "add tfjs to the job's `export`, and export it again"
        raise NotFoundError(f"bundle of {index.model}/{index.version}", "has no TF.js variant", remedy)
    if bundle.preprocess.resize.startswith("longest"):
        raise InputError(f"{index.model}/{index.version}", "is a detector, and the page shows classes", "choose a classifier")
    names = {"model": index.model, "version": index.version, "bundle": index.digest}
    about: dict[str, object] = names | {"labels": bundle.labels, "size": bundle.preprocess.size}
    if not bundle.preprocess.is_plain:
        about |= {"preprocess": asdict(bundle.preprocess)}
    files: dict[str, bytes | Path] = {
        "README.md": _CARD.format(title=f"{index.model} {index.version}", **names).encode(),
        "index.html": _PAGE / "index.html",
        "page.mjs": _PAGE / "page.mjs",
        "resize.mjs": _SERVING / "export" / "resize.mjs",
        PAGE: json.dumps(about, ensure_ascii=False, indent=2).encode(),
    }
    files |= {f"model/tfjs/{path.name}": path for path in sorted(variant.iterdir())}
    for name in _FROM_TF:
        path = node_modules / "@tensorflow" / name
        if not path.is_file():
            raise NotFoundError("TF.js", f"there is nothing at {path}", "run `make setup` in a source checkout")
        files[f"lib/{path.name}"] = path
    return files


def write_space(bundle: Bundle, node_modules: Path, folder: Path) -> None:
    """The page as a folder that any web server can show."""
    files = space_files(bundle, node_modules)
    if folder.exists() and not (folder / PAGE).exists() and any(folder.iterdir()):
        raise InputError(folder, "holds something else", "name a folder that is new or empty")
    with building(folder) as work:
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
