"""A subprocess job: a registered program's ONNX variants, and its answers. `python -P -m serving.export.onnx_job JOB`.

Job: `info` (a ModelInfo), `core` (ONNX of the network: written from `program` where that is given, read otherwise),
`tensorflow` (where to put the network for TensorFlow's converters) for `runtimes` (`tfjs`, `litert`, or none), `variants` (name
and path each), `provenance`, `calibration` and `images` (files), `answers` (.npz, the trained program's answers), `report`. It
prints `core` once the network is there, with the runtimes that it is fit for, `made NAME` after each variant, and
`failed NAME WHY` for a variant or a runtime that there is nothing for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from registry.errors import ModelyardError, shorten
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import stack_pixels
from serving.bundle.variants import KNOWN
from serving.export.graphs import assemble
from serving.export.onnx import export_core, for_tensorflow, seal_model, settle
from serving.export.quantize import to_float16, to_int8
from serving.export.subprocess_job import answer_job


def main(job: dict[str, Any]) -> None:
    """Do the job in the order in which others wait for its parts."""
    info, path = ModelInfo.of(job["info"]), Path(job["core"])
    if job.get("program"):
        program = Path(job["program"])
        core = settle(onnx.load(program), info) if info.framework == "onnx" else export_core(program, info)
        onnx.save(core, path)
    else:
        core = settle(onnx.load(path), info)
    print(" ".join(["core", *_for_tensorflow(core, info, job)]), flush=True)  # noqa: T201 the parent reads it
    if job.get("answers"):
        from serving.export.reference import own_answers

        own_answers(Path(job["program"]), info, [Path(file) for file in job["images"]], Path(job["answers"]))
        print("answers", flush=True)  # noqa: T201
    _derive(core, info, job)


def _for_tensorflow(core: onnx.ModelProto, info: ModelInfo, job: dict[str, Any]) -> list[str]:
    """Write the network for TensorFlow's converters, and return the runtimes that it is fit for."""
    fit = list[str]()
    for runtime in job["runtimes"]:
        try:
            onnx.save(for_tensorflow(core, info, runtime), job["tensorflow"])
        except ModelyardError as error:
            print(f"failed {runtime} {error.expectation}", flush=True)  # noqa: T201 the parent reads it
        else:
            fit.append(runtime)
    return fit


def _derive(core: onnx.ModelProto, info: ModelInfo, job: dict[str, Any]) -> None:
    """Every variant; each precision is made once."""
    calibration = [Path(file) for file in job["calibration"]]
    precisions: dict[str, Callable[[], onnx.ModelProto]] = {
        "float32": lambda: core,
        "float16": lambda: to_float16(core),
        "int8": lambda: to_int8(
            core, info.preprocess.tensor(stack_pixels(info.preprocess, calibration)), detects=info.task == "detect"
        ),
    }
    networks: dict[str, onnx.ModelProto] = {}
    for entry in job["variants"]:
        variant = KNOWN[entry["name"]]
        shape = "tensor" if variant.name == "onnx-tensor" else "values" if variant.runtime == "transformersjs" else "image"
        try:
            if variant.precision not in networks:
                networks[variant.precision] = precisions[variant.precision]()
            seal_model(assemble(networks[variant.precision], info, shape=shape), Path(entry["path"]), job["provenance"])
        except OSError:
            raise
        except ModelyardError as error:
            print(f"failed {variant.name} {error.expectation}", flush=True)  # noqa: T201
        except Exception as error:  # noqa: BLE001 ONNX' and ONNX Runtime's tools raise what they like; other variants go on
            print(f"failed {variant.name} {shorten(f'{type(error).__name__}: {error}', 200)}", flush=True)  # noqa: T201
        else:
            print(f"made {variant.name}", flush=True)  # noqa: T201


if __name__ == "__main__":
    answer_job(main)
