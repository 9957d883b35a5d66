"""The files that Transformers.js expects beside an ONNX file: a config with the class names, and preprocessor settings.

The ONNX files resize by themselves, so the preprocessor is told to do nothing: its own resize is the browser's, and
differs. `ResNetForImageClassification` stands for any network that takes `pixel_values` and gives `logits`.
"""

from __future__ import annotations

from pathlib import Path

from registry.files import write_json
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.variants import KNOWN

_DTYPES = {"float32": "fp32", "float16": "fp16", "int8": "int8"}


def write_transformers(work: Path, info: ModelInfo) -> None:
    """Write both files where a variant for Transformers.js is there; the most exact one is what it loads by itself."""
    made = [variant for variant in KNOWN.values() if variant.runtime == "transformersjs" and (work / variant.path).exists()]
    if not made:
        return
    folder = work / "transformersjs"
    names = {str(index): label for index, label in enumerate(info.labels)}
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetForImageClassification"],
        "id2label": names,
        "label2id": {label: index for index, label in enumerate(info.labels)},
        "num_labels": len(info.labels),
        "transformers.js_config": {"dtype": _DTYPES[made[0].precision]},
    }
    nothing = dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad", "do_convert_rgb"), False)
    preprocessor = {"image_processor_type": "ViTImageProcessor", **nothing, "do_convert_rgb": True}
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", preprocessor)
