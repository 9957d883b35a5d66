"""A job's task: its trainers make what it asks for, its gates ask for what there is, and old policies still read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipelines.job.jobfile import Job, parse_job, read_job
from pipelines.job.tasks import DETECTORS, is_detector
from pipelines.job.template import JobChoices, job_text
from pipelines.training.trainers.build import choose_trainers
from registry.errors import InputError


def detects(**changes: object) -> dict[str, object]:
    return {"model": "cups", "task": "detect"} | changes


def written(folder: Path, document: dict[str, object]) -> Path:
    path = folder / "modelyard.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_what_init_writes_for_boxes_trains_a_detector_and_asks_for_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "modelyard.yaml"
    path.write_text(job_text(JobChoices("cups", "detect", "images", "photos", "YOLO")))
    job = read_job(path)
    assert [(config.kind, config.arch) for config in choose_trainers(job, None)] == [("torch", "small_detector")]
    assert "top1" not in path.read_text().replace("top1_agreement", "")
    assert job.gates.production[1].metric == "map50_95"


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_trainer_without_an_architecture_gets_the_one_that_makes_what_the_task_asks_for(kind: str) -> None:
    job = parse_job(detects(train=[{"kind": kind}]), "job")
    assert job.train[0].arch == DETECTORS[kind]
    assert is_detector(job.train[0])
    assert Job.model_validate_json(job.model_dump_json()) == job
    pretrained = parse_job(detects(train=[{"kind": "torch", "weights": "imagenet"}]), "job")
    assert pretrained.train[0].arch == "efficientnet_lite0_detector"


@pytest.mark.parametrize(
    ("train", "line"),
    [
        ({"kind": "keras"}, r"trainer 'keras' makes no detectors; give one of yolo, torch"),
        ({"kind": "yolo", "arch": "yolo11n-cls"}, r"'yolo11n-cls' is a classifier.*did you mean 'yolo11n'\?"),
        ({"kind": "torch", "arch": "resnet18"}, r"is a classifier.*'small_detector' or 'resnet18_detector'"),
        ({"kind": "torch", "decode": "reduced"}, r"decode: reduced is for classifiers"),
    ],
)
def test_a_trainer_of_the_other_task_is_refused_when_the_job_is_read(train: dict[str, object], line: str) -> None:
    with pytest.raises(InputError, match=line):
        parse_job(detects(train=[train]), "job")


def test_a_search_of_detectors_goes_by_what_detectors_report() -> None:
    job = detects(train=[{"kind": "torch"}], search={"trials": 2})
    assert parse_job(job, "job").search.metric == "val_map50_95"
    named = job | {"search": {"metric": "val_map50"}}
    assert parse_job(named, "job").search.metric == "val_map50"
    classifier = {"model": "cups", "train": [{"kind": "torch"}], "search": {}}
    assert parse_job(classifier, "job").search.metric == "val_top1"


@pytest.mark.parametrize("train", [{"kind": "yolo", "arch": "yolov8n"}, {"kind": "torch", "arch": "small_detector"}])
def test_a_detector_in_a_classifiers_job_is_refused_with_a_classifier(train: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"is a detector, the job's task is classify; did you mean '(yolov8n-cls|small_cnn)'"):
        parse_job({"model": "cups", "train": [train]}, "job")


@pytest.mark.parametrize(
    ("gate", "line"),
    [
        ({"kind": "champion"}, "champion compares top1, which a detector does not have; write `metric: map50_95`"),
        ({"kind": "metric"}, "a detector has no metric 'top1'"),
        ({"kind": "metric", "name": "map5095"}, "did you mean 'map50_95'?"),
        ({"kind": "metric", "name": "recal"}, "did you mean 'recall'?"),
        ({"kind": "metric", "slice": "dark"}, "a detector has no metric 'top1'; give one of map50_95, map50"),
    ],
)
def test_a_gate_that_only_a_classifier_can_pass_is_refused_when_the_file_is_read(
    gate: dict[str, object], line: str, tmp_path: Path
) -> None:
    document = detects(gates={"production": [gate]})
    with pytest.raises(InputError) as refused:
        read_job(written(tmp_path, document))
    assert line in str(refused.value)
    assert parse_job(document, "policy of cups (ledger row 3)").gates.production, "an older release recorded such policies"


def test_a_job_without_trainers_still_registers_and_says_so_when_it_is_to_train(tmp_path: Path) -> None:
    job = read_job(written(tmp_path, detects()))
    with pytest.raises(InputError, match=r"names no trainer.*modelyard register"):
        choose_trainers(job, None)
    assert [config.arch for config in choose_trainers(job, "yolo,torch")] == ["yolov8n", "small_detector"]
    with pytest.raises(InputError, match="'keras': expected one of yolo, torch"):
        choose_trainers(job, "keras")


def test_an_unknown_yolo_is_refused_with_the_nearest_before_anything_is_trained() -> None:
    pytest.importorskip("ultralytics")
    from pipelines.training.trainers.yolo_detect import check_arch

    for known in ("yolov8n", "yolo11x", "yolo12s", "yolov10b", "yolov9c"):
        check_arch(known)
    with pytest.raises(InputError, match=r"did you mean 'yolo11n'\?"):
        check_arch("yolo11nn")
