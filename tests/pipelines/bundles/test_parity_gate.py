"""The parity gate that production gets from the exports of a job."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from pipelines.job.jobfile import parse_job
from registry.records import Evidence
from registry.stages import Stage
from serving.bundle.variants import variant_spec
from serving.export.parity import compare, failed, judge

sys.path.insert(0, str(Path(__file__).parent))
from fake_export import job


def test_production_asks_for_what_the_job_requires_also_where_it_names_no_parity_gate() -> None:
    asked = job(
        {"kind": "onnx"}, {"kind": "tfjs", "max_abs_diff": 0.5}, {"kind": "onnx", "quantize": "int8", "required": False}
    )
    assert [gate.kind for gate in asked.gates_of(Stage.STAGING)] == ["metric"]
    assert [gate.kind for gate in asked.gates_of(Stage.PRODUCTION)] == ["metric", "parity"]
    gate = asked.gates_of(Stage.PRODUCTION)[-1]
    same = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], 8).astype(np.float32)
    kept = [judge(compare(name, same, same), variant_spec(name)) for name in ("onnx", "tfjs-float16")]
    lost = [
        failed(variant_spec("onnx-int8", required=False), 8, "cannot be made"),
        failed(variant_spec("tfjs-float16"), 8, "cannot be made"),
    ]
    fields = {"model": "digits", "version": 1, "created_ms": 1, "digest": "d"}
    for parity, message in (
        ([], "no parity of these bytes"),
        (kept[:1], "tfjs-float16 was not exported"),
        ([kept[0], lost[1]], "tfjs-float16 is not in the bundle: cannot be made"),
        ([*kept, lost[0]], None),
    ):
        against = [finding.text for finding in gate.judge(Evidence(**fields, parity=parity)) if not finding.passed]
        assert (against == []) if message is None else (len(against) == 1 and message in against[0])


def test_production_without_any_gate_gets_none_and_a_parity_gate_of_the_jobs_own_stays_alone() -> None:
    raw = {"model": "digits", "train": [{"kind": "torch"}]}
    assert parse_job(raw, "test").gates_of(Stage.PRODUCTION) == ()
    own = parse_job(raw | {"gates": {"production": [{"kind": "parity", "images": 20}]}}, "test")
    assert [gate.images for gate in own.gates_of(Stage.PRODUCTION)] == [20]
