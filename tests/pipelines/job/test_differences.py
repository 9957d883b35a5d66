"""What a job changes about a policy is said in words that somebody who has to agree understands."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.differences import differences, target_changes
from pipelines.job.jobfile import parse_job

SPACE = {"kind": "huggingface", "repository": "me/a"}
RUNPOD = {"kind": "runpod", "image": "i", "bundles": "hf:a/b"}
BASE: dict[str, Any] = {
    "train": [{"kind": "torch"}],
    "gates": {
        "staging": [{"kind": "metric", "name": "top1", "at_least": 0.9}, {"kind": "budget"}],
        "production": [{"kind": "metric", "name": "top1"}, {"kind": "metric", "name": "macro_f1"}, {"kind": "parity"}],
    },
    "export": [{"kind": "onnx"}],
    "deploy": {"production": {"kind": "local"}},
}


def document(**changes: Any) -> dict[str, Any]:
    return parse_job(BASE | changes, "job").model_dump(mode="json")


def staging(*gates: dict[str, Any]) -> dict[str, Any]:
    return document(gates=BASE["gates"] | {"staging": list(gates)})


TOP1 = BASE["gates"]["staging"][0]


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (staging(TOP1 | {"at_least": 0.7}, {"kind": "budget"}), ["staging: metric top1 at_least 0.90 → 0.70"]),
        (staging(TOP1), ["staging: gate budget removed"]),
        (staging({"kind": "budget"}, TOP1), []),
        (staging(TOP1, {"kind": "budget", "train_usd": None, "serve_usd_per_month": 5}),
         ["staging: budget train_usd 1 → none", "staging: budget serve_usd_per_month none → 5"]),
        (staging(TOP1, TOP1 | {"at_least": 0.5}, {"kind": "budget"}),
         ["staging: gate metric top1 #2 added (at_least 0.50, at_most none, images 1)"]),
        (document(gates=BASE["gates"] | {"unproven": "revert"}), ["gates unproven block → revert"]),
        (document(deploy={"production": RUNPOD}), ["deploy.production local → runpod"]),
        (document(deploy={"production": None}), ["deploy.production local → none"]),
        (document(deploy={"production": {"kind": "local", "workers": 4}}), ["deploy.production local workers 1 → 4"]),
        (document(export=[{"kind": "onnx"}, {"kind": "onnx", "quantize": "int8"}]), ["export onnx int8 added"]),
        (document(budget={"usd_per_month": 10}), ["budget none → usd_per_month 10, warn_at 0.80"]),
        (document(policy={"set_by": ["ada"]}), ["policy none → set_by ada, keys none"]),
        (document(train=[{"kind": "torch", "epochs": 99}]), ["train torch epochs none → 99"]),
        (document(data={"fps": 7}), ["data.fps 5 → 7"]),
    ],
)  # fmt: skip
def test_each_change_is_a_sentence(new: dict[str, Any], lines: list[str]) -> None:
    sentences = differences(document(), new)
    assert len(sentences) == len(lines)
    assert all(sentence.startswith(line) for sentence, line in zip(sentences, lines, strict=True)), sentences


LEAVES = st.sampled_from([0.5, 1.0, 3, "x", None, True, []])
JOBS = st.fixed_dictionaries(
    {
        "gates": st.fixed_dictionaries(
            {
                "staging": st.lists(st.fixed_dictionaries({"kind": st.sampled_from(["a", "b"]), "limit": LEAVES}), max_size=3),
                "production": st.lists(
                    st.fixed_dictionaries({"kind": st.just("a"), "name": st.sampled_from("pq")}), max_size=2
                ),
                "unproven": st.sampled_from(["block", "revert"]),
            }
        ),
        "deploy": st.fixed_dictionaries(
            {"staging": st.none(), "production": st.sampled_from([None, {"kind": "a"}, {"kind": "b", "n": 1}])}
        ),
        "data": st.dictionaries(st.sampled_from("xyz"), LEAVES, max_size=2),
        "budget": LEAVES,
    }
)


@given(JOBS, JOBS)
def test_no_difference_goes_unsaid(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Order of gates apart, two jobs are the same exactly where nothing is said."""

    def plain(job: dict[str, Any]) -> object:
        gates = job["gates"]
        stages = {stage: sorted(repr(sorted(gate.items())) for gate in gates[stage]) for stage in ("staging", "production")}
        data = {key: value for key, value in job["data"].items() if value is not None}
        return {**job, "gates": stages | {"unproven": gates["unproven"]}, "data": data}

    assert differences(old, old) == []
    if plain(old) != plain(new):
        assert differences(old, new)
        assert all(line and "\n" not in line for line in differences(old, new))


@pytest.mark.parametrize(
    ("old", "new", "kinds"),
    [
        ({"kind": "local"}, RUNPOD, ["runpod"]),
        (RUNPOD, {"kind": "local"}, ["local"]),
        (None, RUNPOD, ["runpod"]),
        (None, {"kind": "local"}, []),
        (RUNPOD, None, []),
        ({"kind": "local"}, {"kind": "local", "workers": 8}, []),
        (RUNPOD, RUNPOD | {"pools": ["AMPERE_80"]}, ["runpod"]),
        (RUNPOD, RUNPOD | {"min_workers": 1}, ["runpod"]),
        (RUNPOD, RUNPOD | {"smoke_images": 20}, []),
        ({"kind": "huggingface", "repository": "me/a"}, {"kind": "huggingface", "repository": "you/a"}, ["huggingface"]),
        (SPACE, SPACE | {"private": False}, ["huggingface"]),
        (SPACE, SPACE | {"access": "public"}, ["huggingface"]),
        (SPACE, SPACE | {"space": "me/page"}, ["huggingface"]),
        (RUNPOD, RUNPOD | {"public": True}, ["runpod"]),
        (RUNPOD, RUNPOD | {"bundles": "hf:you/b"}, ["runpod"]),
    ],
)
def test_what_is_paid_for_otherwise_is_a_change_of_target(old: Any, new: Any, kinds: list[str]) -> None:
    before, after = document(deploy={"production": old}), document(deploy={"production": new})
    assert list(target_changes(before, after)) == kinds
