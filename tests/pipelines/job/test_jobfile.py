"""The job file: the config is the object, and a typo is answered with the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.job.exports import variant_specs
from pipelines.job.jobfile import Job, parse_job, read_job
from pipelines.job.template import TEMPLATE, write_job_file
from registry.errors import InputError, NotFoundError
from registry.stages import Stage

LEAST = {"train": [{"kind": "torch"}]}


def test_the_template_is_a_job_and_says_what_each_key_is_for(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.yaml"
    write_job_file(path, force=False)
    job = read_job(path)
    assert [trainer.kind for trainer in job.train] == ["torch", "yolo"]
    assert len(job.gates.production) == 7
    assert TEMPLATE.count("#") >= 10


def test_an_existing_job_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.yaml"
    path.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        write_job_file(path, force=False)
    assert path.read_text() == "mine"
    write_job_file(path, force=True)
    assert path.read_text() == TEMPLATE


RUNPOD = {"kind": "runpod", "image": "you/image:1", "bundles": "hf:me/bundles"}
SPACE = {"kind": "huggingface", "repository": "me/hand", "space": "me/page"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modle": "x"}, "unknown key 'modle'; did you mean 'model'"),
        ({"train": [{"kind": "yolo", "epoch": 3}]}, "did you mean 'epochs'"),
        ({"data": {"split": {"vall": 0.2}}}, "did you mean 'val'"),
        ({"gates": {"staging": [{"kind": "metric", "atleast": 1}]}}, "did you mean 'at_least'"),
        ({"gates": {"productoin": []}}, "did you mean 'production'"),
        (
            {"train": [{"kind": "yollo"}]},
            "trainer 'yollo': is not installed (installed: yolo, torch, keras); did you mean 'yolo'?",
        ),
        ({"train": []}, "names no trainer"),
        ({"data": {"fps": -1}}, "greater than 0"),
        ({"export": [{"kind": "tfsj"}]}, "no exporter 'tfsj' (did you mean 'tfjs'?)"),
        ({"export": [{"kind": "onnx", "quantise": "int8"}]}, "did you mean 'quantize'"),
        ({"export": [{"kind": "onnx", "input": "tensor", "quantize": "int8"}]}, "float32 only"),
        ({"task": "detect", "train": [{"kind": "keras"}]}, "trainer 'keras' makes no detectors"),
        ({"model": "a/b"}, "expected letters"),
        (
            {"deploy": {"production": RUNPOD | {"cpu": {"vcpus": 6}}}},
            "deploy.production.cpu: vcpus 6 is no power of two, as RunPod's machines are; choose 2, 4, 8, 16 or 32",
        ),
        (
            {"deploy": {"production": RUNPOD | {"bundles": "hf:mine"}}},
            "deploy.production.bundles: 'hf:mine' is no address of bundles",
        ),
        (
            {"deploy": {"production": RUNPOD | {"bundles": "s3://bucket"}}},
            "production.bundles: 's3://bucket' is no address of bundles",
        ),
        (
            {"deploy": {"production": {"bundles": "hf:me/x"}}},
            "deploy.production.bundles: unknown key 'bundles'; add `kind: runpod`",
        ),
        ({"deploy": {"production": {"kind": "runpod"}}}, "deploy.production.bundles: is missing"),
        ({"deploy": {"production": "runpod"}}, "deploy.production: should hold keys, each with its value"),
        ({"deploy": {"production": RUNPOD | {"max_workers": 0}}}, "deploy.production.max_workers: should be greater than or"),
        ({"deploy": {"staging": SPACE, "production": SPACE}}, "both stages publish to the Space me/page"),
    ],
)
def test_a_mistake_is_one_line_with_what_was_probably_meant(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_job(LEAST | change, "modelyard.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", "- a\n- b", "", "\x00"])
def test_what_is_no_job_file_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "modelyard.yaml"
    path.write_text(text)
    with pytest.raises(InputError):
        read_job(path)


def test_a_missing_job_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="modelyard init"):
        read_job(tmp_path / "modelyard.yaml")


def test_a_job_reads_back_from_its_own_json() -> None:
    job = parse_job(yaml.safe_load(TEMPLATE), "template")
    assert Job.model_validate_json(job.model_dump_json()) == job


def test_what_a_job_requires_is_what_its_parity_gate_asks_for() -> None:
    exports = [{"kind": "onnx", "quantize": "int8", "required": False}, {"kind": "tfjs", "max_abs_diff": 0.5}]
    job = parse_job(LEAST | {"export": exports, "gates": {"production": [{"kind": "parity"}, {"kind": "size"}]}}, "job")
    wanted = {entry.variant.name: entry for entry in job.variants}
    assert set(wanted) == {"onnx", "onnx-int8", "tfjs-float16"}
    assert not wanted["onnx-int8"].required
    assert wanted["tfjs-float16"].limits.max_abs_diff == 0.5
    assert wanted["tfjs-float16"].limits.top1_agreement == 0.99
    gate = job.gates_of(Stage.PRODUCTION)[0]
    assert set(gate.variants) == {"onnx", "tfjs-float16"}
    own = parse_job(LEAST | {"gates": {"production": [{"kind": "parity", "variants": ["onnx-int8"]}]}}, "job")
    assert own.gates_of(Stage.PRODUCTION)[0].variants == ("onnx-int8",)


def test_a_variant_that_nobody_makes_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match="variant 'onnx-int4': expected one of onnx, onnx-tensor"):
        variant_specs(parse_job(LEAST, "job").export, ["onnx-int4"])
    assert [spec.variant.name for spec in variant_specs((), ["tfjs-uint8", "onnx"])] == ["onnx", "tfjs-uint8"]


def test_a_runtime_stands_for_its_precisions_where_none_is_named() -> None:
    specs = variant_specs((), ["litert"])
    assert [spec.variant.name for spec in specs] == ["onnx", "litert-float32", "litert-float16", "litert-int8"]
    assert all(spec.required for spec in specs)
    job = parse_job(LEAST | {"export": [{"kind": "litert"}, {"kind": "litert", "quantize": "int8", "required": False}]}, "job")
    wanted = {spec.variant.name: spec.required for spec in variant_specs(job.export)}
    assert wanted == {"onnx": True, "litert-float16": True, "litert-int8": False}


def paths(value: object, before: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where a job has numbers."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [before]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, part in parts for path in paths(part, (*before, key))]


NUMBERS = {
    "model": "hand",
    "data": {"fps": 5, "split": {"val": 0.2}},
    "train": [{"kind": "torch", "lr0": 0.1}, {"kind": "yolo", "lr0": 0.1}, {"kind": "keras", "lr0": 0.1}],
    "search": {"space": {"lr0": {"min": 0.1, "max": 1.0}, "fliplr": [0.1, 0.5]}},
    "gates": {"staging": [{"kind": "latency", "p95_ms": 9}, {"kind": "size", "max_mb": 9}, {"kind": "budget", "train_usd": 9}]},
    "deploy": {"production": {"kind": "local", "canary": {"share": 0.1, "max_latency_ratio": 9}}},
    "budget": {"usd_per_month": 5},
}


@pytest.mark.parametrize("path", paths(NUMBERS), ids=str)
@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_every_number_of_a_job_is_finite(path: tuple[object, ...], number: float) -> None:
    parse_job(NUMBERS, "job")
    job = yaml.safe_load(yaml.safe_dump(NUMBERS))
    part = job
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = number
    with pytest.raises(InputError, match=f"^job: {'.'.join(map(str, path))}: expected a finite number, not"):
        parse_job(job, "job")


@pytest.mark.parametrize(
    "deploy",
    [
        {"production": RUNPOD | {"bundles": "s3://bucket"}},
        {"production": RUNPOD | {"cpu": {"vcpus": 6}}},
        {"staging": SPACE, "production": SPACE},
    ],
)
def test_a_policy_of_an_older_release_goes_on_being_read(deploy: dict[str, object]) -> None:
    """What it accepted is refused where somebody writes it now, and where it is deployed."""
    with pytest.raises(InputError):
        parse_job(LEAST | {"deploy": deploy}, "job")
    assert parse_job(LEAST | {"deploy": deploy}, "policy", stored=True).deploy.production is not None


def test_vcpus_count_only_without_a_gpu() -> None:
    job = parse_job(LEAST | {"deploy": {"production": RUNPOD | {"pools": ["AMPERE_16"], "cpu": {"vcpus": 6}}}}, "job")
    assert job.deploy.production is not None
