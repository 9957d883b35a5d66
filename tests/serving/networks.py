"""Small networks as ONNX, for tests that need no training."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess

LETTERBOX = {"resize": "longest side, bilinear", "crop": "none, padded with grey 114"}


def info(labels: int = 3, size: int = 32, **changes) -> ModelInfo:
    about = {"trainer": "torch", "arch": "tiny", "framework": "torch", "dataset": "d" * 64}
    about |= {"labels": [f"class{n}" for n in range(labels)], "preprocess": Preprocess(size=size)}
    return ModelInfo(**(about | changes))


def tiny(classes: int = 3, activation: str = "Relu", size: int = 32, seed: int = 0) -> onnx.ModelProto:
    """A convolution, an activation, pooling and a linear layer: which of the three colours is brightest, with some noise."""
    random = np.random.default_rng(seed)
    model = parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch,3,{size},{size}] tensor) => (float[batch,{classes}] probabilities) {{
          found = Conv<strides=[2,2], pads=[1,1,1,1]>(tensor, kernel)
          active = {activation}(found)
          pooled = GlobalAveragePool(active)
          flat = Flatten(pooled)
          logits = MatMul(flat, weights)
          probabilities = Softmax<axis=1>(logits)
        }}""")
    kernel, weights = random.normal(0, 0.02, (8, 3, 3, 3)), random.normal(0, 0.3, (8, classes))
    for colour in range(3):
        kernel[colour, colour, 1, 1] += 1
        weights[colour, colour] += 8
    for name, values in (("kernel", kernel), ("weights", weights)):
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    return model


def pictures(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """uint8 `[count, size, size, 3]`: coloured noise, each of its own colour."""
    random = np.random.default_rng(seed)
    tint = random.integers(0, 200, (count, 1, 1, 3))
    return (tint + random.integers(0, 56, (count, size, size, 3))).astype(np.uint8)
