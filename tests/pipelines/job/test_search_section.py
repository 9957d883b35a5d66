"""`search:` and `launch: {kind: ray}` in a job file: what is meant, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.job.jobfile import parse_job
from pipelines.job.search import sampled_trainer
from registry.errors import InputError

TORCH = {"kind": "torch", "arch": "small_cnn"}
YOLO = {"kind": "yolo", "arch": "yolov8n-cls"}


def job(search: Any, *trainers: dict[str, Any], **rest: Any) -> Any:
    return parse_job({"train": list(trainers) or [TORCH], "search": search, **rest}, "job")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"space": {"lr": [0.1]}}, "no trainer here has 'lr'; did you mean lr0"),
        ({"space": {"batch": [16, 1]}}, "no trainer here takes 1"),
        ({"space": {"batch": []}}, "the list is empty"),
        ({"space": {"lr0": {"min": 0.1, "max": 0.01}}}, "max 0.01 is not above min 0.1"),
        ({"space": {"lr0": {"min": 0, "max": 0.01, "log": True}}}, "min must be above 0 with log: true"),
        ({"space": {"epochs": {"min": 0, "max": 10}}}, "no trainer here takes 0"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"trails": 3}, "did you mean 'trials'"),
        ({"space": {"kind": ["yolo"]}}, "no trainer here has 'kind'"),
    ],
)
def test_what_cannot_be_searched_is_one_line(search: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        job(search)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_without_a_search_reads_as_before() -> None:
    assert parse_job({"train": [TORCH]}, "job").search is None


def test_a_value_goes_to_the_trainers_that_take_it() -> None:
    made = job({"space": {"arch": ["small_cnn", "yolov8n-cls"], "fliplr": [0.5], "lr0": [0.01]}}, TORCH, YOLO)
    yolo, varied = sampled_trainer(
        made.search, made.train, {"which trainer": 1, "arch": "small_cnn", "fliplr": 0.5, "lr0": 0.01}
    )
    assert (yolo.kind, yolo.arch, yolo.lr0) == ("yolo", "yolov8n-cls", 0.01)
    assert varied == {"fliplr": 0.5, "lr0": 0.01}
    torch, varied = sampled_trainer(
        made.search, made.train, {"which trainer": 0, "arch": "small_cnn", "fliplr": 0.5, "lr0": 0.01}
    )
    assert (torch.kind, varied) == ("torch", {"arch": "small_cnn", "fliplr": 0.5, "lr0": 0.01})


@pytest.mark.parametrize("address", ["auto", "local", "ray://cluster:10001", "10.0.0.1:6379"])
def test_a_cluster_is_named_by_its_address(address: str) -> None:
    assert job(None, launch={"kind": "ray", "address": address}).launch.address == address


@pytest.mark.parametrize("address", ["", "cluster", "http://cluster:1/x", "ray://"])
def test_what_is_no_address_is_one_line(address: str) -> None:
    with pytest.raises(InputError, match="launch"):
        job(None, launch={"kind": "ray", "address": address})
