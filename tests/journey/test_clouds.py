"""A ratified version goes to RunPod and to Hugging Face as a person would send it there, against the doubles."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from registry.events import Deployed
from registry.opening import ledger_of
from registry.settings import Settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from pages import folder_page
from warm_commands import WarmCommands

pytestmark = [pytest.mark.journey, pytest.mark.long]
IMAGE = "docker.io/someone/modelyard-serve:0.1"


@dataclass
class CloudHome:
    """A home of its own with a version in production, servers, and doubles."""

    home: Path
    image: Path
    environment: dict[str, str]
    commands: WarmCommands

    def run(self, module: str, *arguments: str, code: int = 0) -> str:
        environment = os.environ | self.environment
        done = self.commands.run(arguments, self.home.parent, module=module, environment=environment)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def modelyard(self, *command: str | Path, code: int = 0) -> str:
        return self.run("pipelines.cli.main", *map(str, command), code=code)

    def mlflow(self, *command: str, code: int = 0) -> str:
        return self.run("mlflow", "deployments", *command, code=code)

    def script(self, code: str, *arguments: str) -> None:
        """A Python program in an interpreter of its own."""
        command, environment = [sys.executable, "-c", code, *arguments], os.environ | self.environment
        done = subprocess.run(command, env=environment, cwd=self.home.parent, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def policy(self, job: Path, kind: str) -> None:
        """Make a job the policy; deploying elsewhere is agreed to by itself."""
        assert f"--confirm-target {kind}" in self.modelyard("policy", "set", "-j", job, code=2)
        self.modelyard("policy", "set", "-j", job, "--confirm-target", kind)

    def job(self, **deploy: object) -> Path:
        path = self.home.parent / f"{deploy['kind']}.yaml"
        document = {"model": "digits3", "train": [{"kind": "keras"}], "deploy": {"production": deploy}}
        path.write_text(yaml.safe_dump(document))
        return path


@pytest.fixture(scope="module")
def cloud(demo, up_module, warm: WarmCommands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudHome]:
    home = tmp_path_factory.mktemp("clouds") / ".modelyard"
    shutil.copytree(demo.home, home)
    command = [sys.executable, "-m", "pipelines.cli.main", "clouds", "fake", "--home", str(home), "--json"]
    doubles = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        variables = json.loads(doubles.stdout.readline())
        home = Path(variables["MODELYARD_HOME"])  # a copy: nothing that is done here stays in the real one
        with up_module(home, "--no-dashboard") as (_, addresses):
            image = next((home / "datasets").glob("digits3/test/1/*.jpg"))
            yield CloudHome(home, image, variables | {"MLFLOW_TRACKING_URI": addresses["mlflow"]}, warm)
    finally:
        doubles.send_signal(signal.SIGINT)
        doubles.wait()
        doubles.stdout.close()


def answers(cloud: CloudHome) -> list[dict]:
    return json.loads(cloud.modelyard("predict", "digits3@production", cloud.image, "--json"))


def test_production_on_runpod(cloud: CloudHome) -> None:
    job = cloud.job(
        kind="runpod", image=IMAGE, bundles="hf:me/bundles", bundle_secret="bundles", pools=["AMPERE_16"], smoke_images=4
    )
    quote = json.loads(cloud.modelyard("endpoint", "quote", "production", "-j", job, "--json"))
    assert float(quote["usd_per_idle_month"]) == 0 < float(quote["usd_per_busy_hour"])
    here = answers(cloud)[0]
    refused = cloud.modelyard("deploy", "digits3@production", "-j", job, code=2)
    assert "is not the policy of digits3 (deploy.production local → runpod)" in refused  # the reconciler would undo it
    cloud.policy(job, "runpod")
    event = json.loads(cloud.modelyard("deploy", "digits3@production", "-j", job, "--json"))
    assert (event["target"], event["smoke_images"]) == ("runpod", 4)
    rows = [row.event for row in ledger_of(Settings(home=cloud.home)).entries("digits3")]  # whoever was first measured it
    started = [row.cold_start_s for row in rows if isinstance(row, Deployed) and row.target == "runpod"]
    assert (started[0] or 0) >= 1
    there = answers(cloud)[0]
    assert there["label"] == here["label"]
    assert "/lb/" in there["served_by"]
    assert max(abs(there["probabilities"][k] - v) for k, v in here["probabilities"].items()) < 1e-5
    status = json.loads(cloud.modelyard("endpoint", "status", "digits3@production", "--json"))
    assert status["state"] in {"live", "asleep"}
    cloud.modelyard("endpoint", "logs", "digits3@production")
    assert event["url"] in cloud.modelyard("status", "--json")
    assert "runpod while idle" in cloud.modelyard("costs", "--json")


def test_production_on_hugging_face(cloud: CloudHome) -> None:
    job = cloud.job(kind="huggingface", repository="me/digits3", space="me/digits3-page", smoke_images=4)
    cloud.policy(job, "huggingface")
    event = json.loads(cloud.modelyard("deploy", "digits3@production", "-j", job, "--json"))
    assert (event["target"], event["owner"]) == ("huggingface", "me")
    assert answers(cloud)[0]["label"] == "1"
    assert "at http" in cloud.modelyard("endpoint", "status", "digits3@production")
    variables = cloud.environment
    page = f"{variables['HF_ENDPOINT']}/spaces/me/digits3-page/resolve/main/index.html"
    assert "No picture leaves" in httpx.get(page, headers={"Authorization": f"Bearer {variables['HF_TOKEN']}"}).text


def test_a_page_that_runs_the_model_in_the_browser(cloud: CloudHome) -> None:
    """What it answers is what the endpoint answers; no other address is asked."""
    folder = cloud.home.parent / "page"
    cloud.modelyard("space", "digits3@production", "--to", folder)
    here = answers(cloud)[0]["probabilities"]
    asked = list[str]()
    with folder_page(folder) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.reload()
        page.wait_for_selector("#file:not([disabled])", state="attached")
        page.set_input_files("#file", cloud.image)
        page.wait_for_selector(f"#label:text-is('{max(here, key=here.get)}')")
        image = base64.b64encode(cloud.image.read_bytes()).decode()
        ask = "async (data) => (await modelyard.predictor.predict(await (await fetch(data)).blob())).probabilities"
        probabilities = page.evaluate(ask, f"data:image/jpeg;base64,{image}")
        page.set_input_files("#file", folder / "README.md")
        page.wait_for_selector("#alert:has-text('is not an image')")
        base = page.url
    assert probabilities.keys() == here.keys()
    assert max(abs(probabilities[label] - score) for label, score in here.items()) < 2e-3
    assert asked
    assert all(url.startswith((base, "data:", "blob:")) for url in asked)
    published = json.loads(cloud.modelyard("space", "digits3@production", "--publish", "me/page", "--json"))
    assert published["url"].endswith("/spaces/me/page")
    assert "choose one" in cloud.modelyard("space", "digits3@production", code=2)


def test_mlflow_s_own_commands(cloud: CloudHome) -> None:
    target = ("-t", "huggingface")
    assert "models:/hand@production" in cloud.mlflow("help", *target)
    cloud.mlflow("create", *target, "-m", "models:/digits3@production", "--name", "by-mlflow", "-C", "repository=me/by-mlflow")
    assert "by-mlflow" in cloud.mlflow("list", *target)
    asked = cloud.home.parent / "asked.json"
    asked.write_text(json.dumps({"inputs": [base64.b64encode(cloud.image.read_bytes()).decode()]}))
    answer = json.loads(cloud.mlflow("predict", *target, "--name", "by-mlflow", "-I", str(asked)))
    assert max(answer, key=lambda label: answer[label]["0"]) == "1"
    cloud.mlflow("delete", *target, "--name", "by-mlflow")


def test_mlflow_s_client_for_each_target(cloud: CloudHome) -> None:
    script = """
import base64, json, sys
from mlflow.deployments import get_deploy_client
image = base64.b64encode(open(sys.argv[1], "rb").read()).decode()
runpod = {"image": sys.argv[2], "bundles": "hf:me/bundles", "bundle_secret": "bundles", "pools": "AMPERE_16,AMPERE_24"}
for target, config in (("modelyard-local", {}), ("runpod", runpod), ("huggingface", {"repository": "me/by-mlflow"})):
    client = get_deploy_client(target)
    client.create_deployment("one", "models:/digits3@production", config=config)
    every = client.predict("one", image)
    assert max(every, key=every.get) == "1", every
    assert client.get_deployment("one")["status"]["state"] in ("live", "asleep")
    client.update_deployment("one", config=config)
    assert "one" in [each["name"] for each in client.list_deployments()]
    client.delete_deployment("one")
    assert "one" not in [each["name"] for each in client.list_deployments()]
"""
    cloud.script(script, str(cloud.image), IMAGE)


def test_what_holds_no_stage_is_refused_by_mlflow_s_commands_too(cloud: CloudHome, demo) -> None:
    loser = next(attempt["ref"] for attempt in demo.summary["tries"] if attempt["outcome"] != "production")
    error = cloud.mlflow("create", "-t", "modelyard-local", "-m", f"models:/{loser}", "--name", "no", code=1)
    assert "holds no stage with these bytes" in error


def test_without_a_key_it_is_one_line(cloud: CloudHome) -> None:
    job = cloud.job(kind="runpod", image=IMAGE, bundles="hf:me/bundles")
    keyless = CloudHome(
        cloud.home,
        cloud.image,
        {key: "" if key.endswith("KEY") else value for key, value in cloud.environment.items()},
        cloud.commands,
    )
    del keyless.environment["RUNPOD_API_KEY"]
    quote = json.loads(keyless.modelyard("endpoint", "quote", "production", "-j", job, "--json"))
    assert any("RUNPOD_API_KEY is not set" in note for note in quote["notes"])
    keyless.modelyard("endpoint", "check", "production", "-j", job, code=1)


def test_mlflow_s_command_needs_no_settings_where_the_model_s_job_says_them(cloud: CloudHome) -> None:
    """The last of this file: the reconciler follows the new job too."""
    create = ("create", "-t", "runpod", "-m", "models:/digits3@production", "--name", "plain")
    assert "-C bundles: Field required; give it, or a `deploy` of kind runpod in the model's job" in cloud.mlflow(
        *create, code=2
    )
    error = cloud.mlflow(*create, "-C", "bundles=hf:me/bundles", code=2)
    assert "-C image: is not given, and MODELYARD_IMAGES is not set" in error
    runpod = {"kind": "runpod", "image": IMAGE, "bundles": "hf:me/bundles", "bundle_secret": "bundles", "smoke_images": 4}
    script = """
import json, sys
from pipelines.job.jobfile import parse_job
from pipelines.job.policy import set_policy
from pipelines.home import Home
from registry.records import Actor
from registry.settings import read_settings
set_policy(Home(read_settings()).ledger(), parse_job(json.loads(sys.argv[1]), "job"), Actor("ada"))
"""
    deploy = {"production": runpod, "staging": {"kind": "huggingface", "repository": "me/plain"}}
    document = {"model": "digits3", "train": [{"kind": "keras"}], "deploy": deploy}
    cloud.script(script, json.dumps(document))
    for target in ("runpod", "huggingface"):
        cloud.mlflow("create", "-t", target, "-m", "models:/digits3@production", "--name", "plain")
        assert "plain" in cloud.mlflow("list", "-t", target)
        cloud.mlflow("update", "-t", target, "--name", "plain")
        asked = cloud.home.parent / "odd.json"
        for odd in ({"inputs": ["abc"]}, {"inputs": [None]}, {"inputs": [5]}, {"other": ["YWJj"]}):
            asked.write_text(json.dumps(odd))
            assert "hold no image file" in cloud.mlflow("predict", "-t", target, "--name", "plain", "-I", str(asked), code=2)
        cloud.mlflow("delete", "-t", target, "--name", "plain")
