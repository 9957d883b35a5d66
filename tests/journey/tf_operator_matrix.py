"""In the TensorFlow world: each small network of a folder through the direct translation. `python -I … FOLDER ROOT`.

Beside each NAME.onnx lies NAME.npz with `pixels` and `answer`; written is a JSON object of names and what went wrong with each,
"" where nothing did, and the operators that the translation knows.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
sys.path.append(sys.argv[2])

import numpy as np
import tensorflow as tf

from serving.export import tf_direct
from serving.export.tf_operators import OPERATORS


def fault(path: Path) -> str:
    """How a translated network's answer differs from ONNX Runtime's."""
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    try:
        tf_direct.translate(tf_direct.for_one_image(path, path.parent), path.with_suffix(".saved"))
    except tf_direct.UntranslatableError as error:
        return f"untranslatable: {error}"
    serve = tf.saved_model.load(str(path.with_suffix(".saved"))).signatures["serving_default"]
    (got,) = serve(tf.constant(arrays["pixels"].transpose(0, 2, 3, 1))).values()
    if got.shape != arrays["answer"].shape:
        return f"has the shape {got.shape}, not {arrays['answer'].shape}"
    apart = float(np.abs(got.numpy() - arrays["answer"]).max())
    return "" if apart < 1e-5 * max(1, np.abs(arrays["answer"]).max()) else f"differs by {apart}"


faults = {path.stem: fault(path) for path in sorted(Path(sys.argv[1]).glob("case*.onnx"))}
sys.stdout.write(json.dumps({"faults": faults, "operators": sorted(OPERATORS)}))
