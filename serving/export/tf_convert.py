"""In the TensorFlow world: a model → SavedModel → TF.js graph models. `python -I tf_convert.py JOB.json`.

Job: one of `onnx` (input NCHW; read once a line arrives on standard input) or `keras` (a .keras file); `tfjs` (folder) with
`variants` (float32, float16, uint8); for Keras also `onnx_out`, and `pixels` (uint8 .npy, NHWC) with `answers` (.npz); `work`,
`report`. It prints `core` when a Keras model's ONNX is there, and `made VARIANT` after each one.

The libraries take as long to import as a conversion, so that is done while the ONNX file is still being made. onnx2tf
needs three things said: group convolutions off (TF.js cannot run them), no simplifier, and a calibration file in the
working folder, which it would download otherwise although nothing here is calibrated.
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


class UnsupportedError(Exception):
    """The model has an operation that a runtime lacks."""


def say(text: str) -> None:
    """One line for the parent."""
    print(text, file=ours, flush=True)


def from_onnx(path: str) -> None:
    """ONNX → SavedModel, NHWC, dynamic batch."""
    import onnx2tf
    import tensorflowjs.converters.tf_saved_model_conversion_v2  # noqa: F401 so that the wait below covers it

    if not sys.stdin.readline():
        sys.exit("the ONNX file never came")
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


def from_keras(path: str) -> None:
    """Keras → ONNX, answers and SavedModel, as far as they are asked for."""
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    if job.get("onnx_out"):
        model(np.zeros((1, *model.input_shape[1:]), np.float32), training=False)  # Keras exports what was called before
        model.export(job["onnx_out"], format="onnx", verbose=False, opset_version=18)
        say("core")
    if job.get("answers"):
        pixels = np.load(job["pixels"], allow_pickle=False)
        rows = [
            np.asarray(model(pixels[start : start + 64].astype(np.float32) / np.float32(255), training=False))
            for start in range(0, len(pixels), 64)
        ]
        np.savez(job["answers"], probabilities=np.concatenate(rows))
        say("answers")
    if job["variants"]:
        model.export(str(saved), format="tf_saved_model", verbose=False)


def to_tfjs(folder: str, variant: str) -> None:
    """SavedModel → one TF.js variant, with its weights in shards that browsers cache one by one."""
    from tensorflowjs.converters.tf_saved_model_conversion_v2 import convert_tf_saved_model

    target = Path(folder) / variant
    convert_tf_saved_model(
        str(saved),
        str(target),
        signature_def="serving_default",
        saved_model_tags="serve",
        quantization_dtype_map=None if variant == "float32" else {variant: "*"},
        skip_op_check=True,
        strip_debug_ops=True,
        weight_shard_size_bytes=SHARD_BYTES,
    )
    told = json.loads((target / "model.json").read_text())
    check_operations(told["modelTopology"])
    (target / "model.json").write_text(json.dumps(told, sort_keys=True, separators=(",", ":")))  # its order is by chance


def check_operations(graph: dict) -> None:
    """Raise UnsupportedError naming the operations that TF.js' own list does not have."""
    import tensorflowjs

    lists = Path(tensorflowjs.__file__).parent / "op_list"
    known = {one["tfOpName"] for file in lists.glob("*.json") for one in json.loads(file.read_text())}
    nodes = [*graph["node"], *(node for one in graph.get("library", {}).get("function", []) for node in one["nodeDef"])]
    missing = sorted({node["op"] for node in nodes} - known)
    if missing:
        raise UnsupportedError(", ".join(missing))


if job.get("onnx"):
    from_onnx(job["onnx"])
else:
    from_keras(job["keras"])
for wanted in job["variants"]:
    try:
        to_tfjs(job["tfjs"], wanted)
    except UnsupportedError as error:
        say(f"failed {wanted} TF.js has no operation {error}")
    except (ValueError, TypeError, RuntimeError) as error:
        say(f"failed {wanted} {' '.join(str(error).split())[:200]}")
    else:
        say(f"made {wanted}")
Path(job["report"]).write_text("{}")
