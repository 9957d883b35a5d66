"""In the TensorFlow world: a model → SavedModel → TF.js graph models. `python -I tf_convert.py JOB.json`.

Job: one of `onnx` (input NCHW) or `keras` (a .keras file); `tfjs` (folder) with `variants` (float32, float16,
uint8); `onnx_out` to have a Keras model written as ONNX too; `work`, `report`. It prints a line before each step.

onnx2tf needs three things said: group convolutions off (TF.js cannot run them), no simplifier, and a calibration
file in the working folder, which it would download otherwise although nothing here is calibrated.
"""

import json
import os
import sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
ours = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the converters print to the C-level standard output; only our own lines belong there
os.chdir(job["work"])
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1" if job.get("onnx") else "0")  # onnx2tf is written for Keras 2

import numpy as np

SHARD_BYTES = 4 * 1024 * 1024
saved = Path(job["work"]) / "saved_model"


def say(text: str) -> None:
    """Progress, one line."""
    print(text, file=ours, flush=True)


def from_onnx(path: str) -> None:
    """ONNX → SavedModel, NHWC, dynamic batch."""
    import onnx2tf

    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
    onnx2tf.convert(
        input_onnx_file_path=path,
        output_folder_path=str(saved),
        output_signaturedefs=True,
        disable_group_convolution=True,
        not_use_onnxsim=True,
        copy_onnx_input_output_names_to_tflite=False,
        non_verbose=True,
        verbosity="error",
    )


def from_keras(path: str, onnx_out: str | None) -> None:
    """Keras → SavedModel, and ONNX where it is asked for."""
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    model.export(str(saved), format="tf_saved_model", verbose=False)
    if onnx_out:
        model.export(onnx_out, format="onnx", verbose=False, opset_version=17)


def to_tfjs(folder: str, variant: str) -> None:
    """SavedModel → one TF.js variant, with its weights in shards that browsers cache one by one."""
    from tensorflowjs.converters.tf_saved_model_conversion_v2 import convert_tf_saved_model

    convert_tf_saved_model(
        str(saved),
        str(Path(folder) / variant),
        signature_def="serving_default",
        saved_model_tags="serve",
        quantization_dtype_map=None if variant == "float32" else {variant: "*"},
        skip_op_check=False,
        strip_debug_ops=True,
        weight_shard_size_bytes=SHARD_BYTES,
    )


say("TensorFlow: reading the model")
if job.get("onnx"):
    from_onnx(job["onnx"])
else:
    from_keras(job["keras"], job.get("onnx_out"))
for wanted in job["variants"]:
    say(f"TF.js: {wanted}")
    to_tfjs(job["tfjs"], wanted)
Path(job["report"]).write_text(json.dumps({"variants": job["variants"]}))
