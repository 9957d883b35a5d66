"""In the TensorFlow world: a model → SavedModel → TF.js graph models and LiteRT files. `python -I tf_convert.py JOB.json`.

Job: one of `onnx` (input NCHW; read once a line arrives on standard input, which may name the runtimes that it was made for)
or `keras` (a .keras file); `tfjs` (folder) with `variants` (float32, float16, uint8); `litert`: `files` (precision to path),
`size`, `output` and `calibration` (uint8 .npy or null); for Keras also `onnx_out`, and `pixels` (uint8 .npy, NHWC) with
`answers` (.npz); `work`, `report`. It prints `core` when a Keras model's ONNX is there, `made VARIANT` after each one,
`failed VARIANT WHY`, or `failed tfjs WHY` and `failed litert WHY` where there is none, and `note TEXT` for the user.

The libraries take as long to import as a conversion, so that is done while the ONNX file is still being made. onnx2tf
needs three things said: group convolutions off (TF.js cannot run them), no simplifier, and a calibration file in the
working folder, which it would download otherwise although nothing here is calibrated. It has no switch for what comes
after the SavedModel, TFLite: that is broken off, since it lacks operators that TF.js has, and ours are made of the SavedModel.
"""

import contextlib
import gc
import importlib
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

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


class EnoughError(BaseException):
    """The SavedModel is written. No Exception, since onnx2tf has a way of catching those."""


def say(text: str) -> None:
    """One line for the parent."""
    print(text, file=ours, flush=True)


def from_onnx(path: str) -> None:
    """ONNX → SavedModel, NHWC: by onnx2tf with a free batch; where it fails or answers otherwise, directly for one image.

    A network that normalises layers goes the direct way first: its axes change places in each block, where onnx2tf guesses.
    Even what it guesses rightly (ConvNeXt) takes five times as long to convert, and to run.
    """
    direct = own_module("tf_direct")
    if direct.normalises_layers(Path(path)):
        with contextlib.suppress(direct.UntranslatableError):
            directly(path, direct)
            return
    try:
        by_onnx2tf(path)
    except (OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 onnx2tf raises what TensorFlow does, or leaves the process
        reason = why(error)
        try:
            directly(path, direct)
        except direct.UntranslatableError as another:
            raise UnsupportedError(f"{reason}; nor can it be translated without onnx2tf: {another}") from error
    else:
        if not direct.answers_alike(Path(path), saved):
            with contextlib.suppress(direct.UntranslatableError):  # then parity is the judge of onnx2tf's network
                directly(path, direct)


def directly(path: str, direct: ModuleType) -> None:
    """The SavedModel by our own translation, in place of any that onnx2tf left."""
    made = Path(job["work"]) / "direct_model"
    direct.translate(direct.for_one_image(Path(path), made.parent), made)
    gc.collect()  # the graphs that were traced are circles, with all weights in them
    shutil.rmtree(saved, ignore_errors=True)
    made.rename(saved)
    if variants:
        say("note TF.js: translated for one image at a time")


def own_module(name: str) -> ModuleType:
    """A module beside this one. Its folder is on the path only for that: it may belong to another interpreter's packages."""
    root = str(Path(__file__).absolute().parents[2])
    sys.path.append(root)
    try:
        return importlib.import_module(f"serving.export.{name}")
    finally:
        sys.path.remove(root)


def by_onnx2tf(path: str) -> None:
    """ONNX → SavedModel, NHWC, free batch.

    When it fails, onnx2tf searches all combinations of settings that could have helped, to write them to a file: minutes
    and gigabytes after the actual reason (ShuffleNet: over 8 GB). That is taken out.
    """
    import onnx2tf.onnx2tf as converter
    import tensorflow as tf

    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
    converter.generate_auto_replacement_json = lambda **_: {}
    lite = patch.object(tf.lite.TFLiteConverter, "from_concrete_functions", enough)
    with contextlib.suppress(EnoughError), lite:
        converter.convert(
            input_onnx_file_path=path,
            output_folder_path=str(saved),
            output_signaturedefs=True,
            disable_group_convolution=True,
            not_use_onnxsim=True,
            copy_onnx_input_output_names_to_tflite=False,
            non_verbose=True,
            verbosity="error",
        )
    if not (saved / "saved_model.pb").exists():
        raise UnsupportedError("onnx2tf wrote no SavedModel")


def enough(_functions: object) -> None:
    """What onnx2tf calls next."""
    raise EnoughError


def why(error: BaseException) -> str:
    """What went wrong in onnx2tf, with the name of the operator that it was at: each has a file of its own there."""
    paths = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    names = [path.stem for path in paths if path.parts[-3:-1] == ("onnx2tf", "ops")]
    message = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"onnx2tf cannot convert {names[-1] if names else 'it'} ({message})"


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
    if variants or litert:
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
    model = json.loads((target / "model.json").read_text())
    check_operations(model["modelTopology"])
    (target / "model.json").write_text(json.dumps(model, sort_keys=True, separators=(",", ":")))  # its order is by chance


def check_operations(graph: dict) -> None:
    """Raise UnsupportedError naming the operations that TF.js' own list does not have."""
    import tensorflowjs

    lists = Path(tensorflowjs.__file__).parent / "op_list"
    known = {operation["tfOpName"] for file in lists.glob("*.json") for operation in json.loads(file.read_text())}
    nodes = [
        *graph["node"],
        *(node for function in graph.get("library", {}).get("function", []) for node in function["nodeDef"]),
    ]
    missing = sorted({node["op"] for node in nodes} - known)
    if missing:
        raise UnsupportedError(", ".join(missing))


def to_litert(files: dict[str, str]) -> None:
    """SavedModel → every precision for LiteRT."""
    ours_here, wish = own_module("tf_litert"), job["litert"]
    converter = ours_here.LitertConverter(saved, wish["size"], wish["output"])
    for precision, file in files.items():
        try:
            converter.write(Path(file), precision, Path(wish["calibration"]) if wish["calibration"] else None)
        except ours_here.UnconvertibleError as error:
            say(f"failed litert-{precision} {error}")
        else:
            say(f"made litert-{precision}")


def comes() -> list[str]:
    """Import while the ONNX file is being made, then wait for the line that says for which runtimes it could be made."""
    import onnx2tf  # noqa: F401
    import tensorflowjs.converters.tf_saved_model_conversion_v2  # noqa: F401

    return sys.stdin.readline().split()


def saved_from_onnx(path: str) -> list[str]:
    """The SavedModel of an ONNX file that is still being made, and for which runtimes it is; none, and why, if it fails."""
    runtimes = comes()
    if not runtimes:
        return []
    try:
        from_onnx(path)
    except UnsupportedError as error:
        for runtime, wishes in (("tfjs", variants), ("litert", litert)):
            if wishes:
                say(f"failed {runtime} {error}")
        return []
    return runtimes


variants, litert = job["variants"], job["litert"]["files"] if job.get("litert") else {}
runtimes = ["tfjs", "litert"]
if not job.get("onnx"):
    from_keras(job["keras"])
else:
    runtimes = saved_from_onnx(job["onnx"])
for wanted in variants if "tfjs" in runtimes else []:
    try:
        to_tfjs(job["tfjs"], wanted)
    except UnsupportedError as error:
        say(f"failed {wanted} TF.js has no operation {error}")
    except (ValueError, TypeError, RuntimeError) as error:
        say(f"failed {wanted} {' '.join(str(error).split())[:200]}")
    else:
        say(f"made {wanted}")
if litert and "litert" in runtimes:
    to_litert(litert)
Path(job["report"]).write_text("{}")
