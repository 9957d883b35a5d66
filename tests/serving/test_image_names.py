"""What the images are called: one table, and the workflow, the commands, the jobs and the Dockerfiles say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from pipelines.cli.app import run as run_command
from pipelines.job.jobfile import parse_job
from registry.errors import InputError
from serving.targets.release_images import IMAGES, checked_owner, docker_lines, image_name

ROOT = Path(__file__).resolve().parents[2]
HUB = {
    ".runpod/Dockerfile": "docker/runpod-queue.Dockerfile",
    ".runpod/load-balancer/Dockerfile": "docker/serve.Dockerfile",
}


def plain(path: str) -> list[str]:
    """A Dockerfile's lines without comments and blank ones."""
    return [line for line in (ROOT / path).read_text().splitlines() if line.strip() and not line.startswith("#")]


def job(**deploy: object) -> str:
    raw = {"model": "hand", "train": [{"kind": "torch"}], "deploy": {"production": {"kind": "runpod"} | deploy}}
    config = parse_job(raw, "job").deploy.production
    return config.image  # type: ignore[union-attr, return-value]


def test_the_workflow_builds_the_images_of_the_table_for_the_machines_of_the_clouds() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/images.yaml").read_text())
    build = workflow["jobs"]["build"]
    rows = [
        tuple(row[key] for key in ("image", "dockerfile", "lock", "suffix")) for row in build["strategy"]["matrix"]["include"]
    ]
    assert rows == [tuple(image) for image in IMAGES.values()]
    (push,) = [step for step in build["steps"] if step.get("id") == "build"]
    assert (push["with"]["platforms"], push["with"]["push"]) == ("linux/amd64", True)
    assert "steps.build.outputs.digest" in json.dumps(build["steps"])
    assert workflow["permissions"] == {"contents": "read", "packages": "write"}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_each_image_has_its_dockerfile_and_each_lock_that_it_names(image) -> None:
    text = (ROOT / image.dockerfile).read_text()
    if image.lock:
        assert re.search(r"^ARG LOCK=", text, re.MULTILINE)
        assert (ROOT / "locks" / f"{image.lock}.txt").is_file()
    else:
        assert "${LOCK}" not in text


def test_the_lines_build_each_for_amd64_and_push_what_a_job_then_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command(["images", "--to", "ghcr.io/you", "--json"])
    assert left.value.code == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["commands"] == docker_lines("ghcr.io/you")
    builds = [line for line in shown["commands"] if line.startswith("docker build")]
    assert all("--platform linux/amd64 " in line for line in builds)
    assert [line.split(" -t ")[1].removesuffix(" .") for line in builds] == list(shown["images"].values())
    assert {f"docker push {name}" for name in shown["images"].values()} < set(shown["commands"])


@pytest.mark.parametrize(
    ("deploy", "kind"),
    [
        ({}, "serve"),
        ({"pools": ["AMPERE_16"]}, "serve-cuda"),
        ({"mode": "queue"}, "queue"),
        ({"mode": "queue", "pools": ["AMPERE_16"]}, "queue-cuda"),
    ],
)
def test_a_job_without_an_image_gets_this_release_s_below_the_owner_s_name(
    monkeypatch: pytest.MonkeyPatch, deploy: dict[str, object], kind: str
) -> None:
    monkeypatch.setenv("MODELYARD_IMAGES", "ghcr.io/you")
    assert job(bundles="https://b", **deploy) == image_name(kind, "ghcr.io/you")
    assert job(bundles="https://b", image="docker.io/me/mine:1", **deploy) == "docker.io/me/mine:1"


def test_a_training_on_a_pod_has_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_IMAGES", "ghcr.io/you/team")
    launch = {"kind": "runpod", "gpus": ["NVIDIA A40"], "max_usd": 1}
    made = parse_job({"model": "hand", "train": [{"kind": "torch"}], "launch": launch}, "job").launch
    assert made.image == image_name("train", "ghcr.io/you/team")  # type: ignore[union-attr]


@pytest.mark.parametrize("owner", ["", "nobody", "ghcr.io/You", "https://ghcr.io/you", "ghcr.io/you:1", "ghcr.io/a b", "/you"])
def test_without_an_owner_nothing_is_pulled_and_it_is_one_line_at_the_job(monkeypatch: pytest.MonkeyPatch, owner: str) -> None:
    monkeypatch.setenv("MODELYARD_IMAGES", owner)
    with pytest.raises(InputError, match=r"deploy\.production\.image: .*MODELYARD_IMAGES") as error:
        job(bundles="https://b")
    assert "\n" not in str(error.value)
    if owner:
        with pytest.raises(InputError, match="MODELYARD_IMAGES"):
            checked_owner(owner)


@pytest.mark.parametrize(("listed", "ours"), HUB.items())
def test_the_dockerfiles_of_runpod_s_hub_are_ours_with_a_bundle_to_try_them_with(listed: str, ours: str) -> None:
    lines, added = plain(listed), {" && PYTHONPATH=/opt/app /opt/modelyard/bin/python -P -m serving.bundle.trial /opt/trial"}
    added.add("COPY --from=build /opt/trial /opt/trial")
    assert added < set(lines)
    assert [line.removesuffix(" \\") for line in lines if line not in added] == [
        line.removesuffix(" \\") for line in plain(ours)
    ]


@pytest.mark.parametrize("folder", [".runpod", ".runpod/load-balancer"])
def test_the_listings_at_runpod_s_hub_name_a_cpu_and_a_bundle_that_is_in_the_image(folder: str) -> None:
    hub, tests = (json.loads((ROOT / folder / f"{name}.json").read_text()) for name in ("hub", "tests"))
    assert (hub["type"], hub["category"]) == ("serverless", "image")
    assert hub["config"]["runsOn"] == "CPU"
    assert re.fullmatch(r"cpu\d[a-z]", hub["config"]["cpuFlavor"])
    assert tests["config"]["cpuFlavor"] == hub["config"]["cpuFlavor"]
    assert hub["config"].get("endpointType") == ("LB" if "load" in folder else None)
    env = {pair["key"]: pair["value"] for pair in tests["config"]["env"]}
    assert env["MODELYARD_BUNDLE_DIR"] == "/opt/trial"
    assert all(pair.get("value") or pair.get("input") for pair in (*hub["config"]["env"], *tests["config"]["env"]))
