"""`endpoint plan` says what `deploy` then does, and `endpoint check` finds, before money flows, what would go wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.deployment.plan import DeployPlan, Planner
from pipelines.deployment.targets import Targets
from pipelines.job.deploys import AnyDeploy
from registry.errors import DeniedError, ModelyardError
from registry.events import Deployed
from registry.memory import MemoryLedger
from registry.settings import Settings
from registry.stages import Stage
from serving.fakes.http import listening
from serving.targets.checks import Check
from serving.targets.contract import Target
from serving.targets.huggingface.checks import checks_of as of_huggingface
from serving.targets.images import ImageReference, check_image
from serving.targets.runpod.checks import checks_of as of_runpod
from serving.targets.runpod.pods import PodClient

DIGEST = "sha256:" + "a" * 64


class Fixed(Targets):
    """Targets of one double, or none that can be asked."""

    target: Target | None

    def build(self, config: AnyDeploy) -> Target:
        if self.target is None:
            raise DeniedError("RUNPOD_API_KEY", "is not set", "set it")
        return self.target


def fixed(target: Target | None, tmp_path: Path) -> Fixed:
    made = Fixed(Settings(home=tmp_path / "home"))
    object.__setattr__(made, "target", target)
    return made


def plan(target: Any, tmp_path: Path, bundle: Any = None, ledger: MemoryLedger | None = None) -> DeployPlan:
    entries = (ledger or MemoryLedger()).entries()
    return Planner(fixed(target, tmp_path), target.config, "colours", Stage.PRODUCTION, entries, bundle).plan()


def actions(planned: DeployPlan) -> list[tuple[str, str]]:
    return [(change.action, change.subject.partition(" at ")[0]) for change in planned.changes]


@contextmanager
def world_of(kind: str, tmp_path: Path) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """A double, and a look at all of its state."""
    if kind == "runpod":
        with clouds.runpod_world(tmp_path / "cloud") as world:
            yield world, lambda: json.dumps([endpoint.spec for endpoint in world.double.cloud.endpoints.values()], default=str)
    else:
        with clouds.huggingface_world(tmp_path / "cloud") as world:
            account = world.double.account
            yield world, lambda: json.dumps([[e.spec for e in account.endpoints.values()], sorted(account.blobs)], default=str)


@pytest.mark.parametrize("kind", ["runpod", "huggingface"])
def test_a_plan_changes_nothing_and_deploy_does_what_it_said(kind: str, make_bundle, tmp_path: Path) -> None:
    first, second = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "two", version=2, gain=30.0)
    more = {"max_workers": 4} if kind == "runpod" else {"max_replicas": 3}
    with world_of(kind, tmp_path) as (world, state):
        steps = [(world.target(), first, ["create"]), (world.target(), first, ["keep"])]
        steps += [(world.target(), second, ["create", "change"]), (world.target(**more), second, ["create", "change"])]
        for target, bundle, wanted in steps:
            before = state()
            planned = plan(target, tmp_path, bundle)
            assert state() == before, "a plan asks, and changes nothing"
            assert [change.action for change in planned.changes if change.action != "publish"] == wanted
            target.deploy("colours-production", bundle, clouds.passes)
            assert [change.action for change in plan(target, tmp_path, bundle).changes if change.action != "publish"] == [
                "keep"
            ]
        names = {setting.name for change in planned.changes if change.action == "change" for setting in change.settings}
        assert names == ({"workers.max"} if kind == "runpod" else {"compute.scaling.maxReplica"})


def test_a_plan_sees_another_address_and_another_secret_of_the_bundles(make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    with clouds.runpod_world(tmp_path / "cloud") as world:
        world.target().deploy("colours-production", bundle, clouds.passes)
        elsewhere = world.target(bundle_secret="mine")
        elsewhere.store = replace(elsewhere.store, url=elsewhere.store.url + "/other")
        (trial, changed) = plan(elsewhere, tmp_path, bundle).changes
        assert (trial.action, changed.action) == ("create", "change")
        assert [str(setting) for setting in changed.settings] == [
            f"bundles = {world.shelf.url} -> {world.shelf.url}/other",
            "bundle_secret = mine",
        ]


FIXED: list[tuple[str, dict[str, str]]] = [
    ("runpod", {"mode": "queue"}),
    ("huggingface", {"region": "eu-west-1"}),
    ("huggingface", {"access": "public"}),
]


@pytest.mark.parametrize(("kind", "fixed_settings"), FIXED)
def test_a_plan_refuses_what_deploy_refuses(kind: str, fixed_settings: dict[str, str], make_bundle, tmp_path: Path) -> None:
    """An endpoint that cannot be changed so, and one that somebody else made."""
    bundle = make_bundle(tmp_path / "one")
    with world_of(kind, tmp_path) as (world, _):
        world.target().deploy("colours-production", bundle, clouds.passes)
        for foreign in (False, True):
            if foreign and kind == "runpod":
                (endpoint,) = world.double.cloud.endpoints.values()
                endpoint.spec["env"] = {}
            elif foreign:
                (endpoint,) = world.double.account.endpoints.values()
                endpoint.spec["model"]["env"] = {}
            target = world.target(**({} if foreign else fixed_settings))
            with pytest.raises(ModelyardError) as by_deploy:
                target.deploy("colours-production", bundle, clouds.passes)
            with pytest.raises(type(by_deploy.value)) as by_plan:
                plan(target, tmp_path, bundle)
            assert str(by_plan.value) == str(by_deploy.value)


def test_nothing_is_published_for_an_endpoint_that_stays(make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    with clouds.huggingface_world(tmp_path / "cloud") as world:
        world.target().deploy("colours-production", bundle, clouds.passes)
        assert [change.action for change in plan(world.target(), tmp_path, bundle).changes] == ["keep"]
        paged = world.target(space="me/page")
        paged.page = lambda bundle: {"model/about.json": json.dumps({"bundle": bundle.index.digest}).encode()}
        (upload, kept) = plan(paged, tmp_path, bundle).changes
        assert (upload.action, "the Space me/page" in upload.subject, kept.action) == ("publish", True, "keep")
        paged.deploy("colours-production", bundle, clouds.passes)
        assert [change.action for change in plan(paged, tmp_path, bundle).changes] == ["keep"]


def test_a_plan_reads_like_terraform_s(make_bundle, tmp_path: Path) -> None:
    with clouds.huggingface_world(tmp_path / "cloud") as world:
        planned = plan(world.target(min_replicas=1), tmp_path, make_bundle(tmp_path / "one"))
        lines = planned.text.splitlines()
        assert lines[0] == "colours-production at huggingface me: colours/1"
        assert any(line.startswith("  ^ publish bundle colours/1 (") and " to me/hand at " in line for line in lines)
        assert any(line.startswith("  + endpoint my-colours-production of me") for line in lines)
        assert "      version = colours/1" in lines
        assert "Plan: 1 to create, 0 to change, 0 to delete, 1 to publish." in lines
        assert any("$24.82 a month while idle" in line for line in lines)
        early = plan(world.target(), tmp_path).notes
        assert "its bundle will be published to me/hand at Hugging Face, private" in early
        document = planned.as_dict()
        assert (document["changes"][0]["action"], document["quote"]["usd_per_month_bound"]) == ("publish", "24.820")


def test_without_a_key_the_ledger_says_what_stands_and_the_catalogue_what_it_costs(make_bundle, tmp_path: Path) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world:
        config, bundle, ledger = world.target().config, make_bundle(tmp_path / "one"), MemoryLedger()
        fields = {"model": "colours", "version": 1, "created_ms": 1, "digest": "0" * 64, "stage": "production"}
        fields |= {"url": "http://x", "bundle": bundle.index.digest, "usd_per_month": "36.50", "price_as_of": "x"}
        ledger.append(Deployed.model_validate(fields | {"target": "local", "smoke_images": 1}, strict=False))
        planner = Planner(fixed(None, tmp_path), config, "colours", Stage.PRODUCTION, ledger.entries(), bundle)
        planned = planner.plan()
        assert actions(planned) == [("create", "endpoint colours-production"), ("delete", "endpoint colours-production")]
        assert str(planned.now_usd_per_month) == "36.50"
        assert any("by the ledger alone: RUNPOD_API_KEY" in note for note in planned.notes)
        assert planned.quote is not None
        assert planned.quote.usd_per_month_at_most > 900


@contextmanager
def registry(manifests: dict[str, Any], *, login: str = "none") -> Iterator[str]:
    """A container registry on loopback. `login`: none, token (given to anybody), or closed."""

    async def manifest(request: Request) -> Response:
        if login != "none" and request.headers.get("Authorization") != "Bearer anybody-s":
            challenge = f'Bearer realm="{request.base_url}token",service="here"'
            return Response(status_code=401, headers={"WWW-Authenticate": challenge})
        body = manifests.get(request.path_params["what"])
        return JSONResponse(body) if body is not None else Response(status_code=404)

    async def token(_: Request) -> Response:
        return JSONResponse({"token": "anybody-s"}) if login == "token" else Response(status_code=401)

    routes = [Route("/v2/you/image/{kind}/{what:path}", manifest), Route("/token", token)]
    with listening(Starlette(routes=routes)) as url:
        yield url.removeprefix("http://")


INDEX = {"manifests": [{"platform": {"os": "linux", "architecture": name}} for name in ("amd64", "arm64", "unknown")]}
ARM = {"manifests": [{"platform": {"os": "linux", "architecture": "arm64"}}]}
PLAIN = {"config": {"digest": DIGEST, "mediaType": "application/vnd.oci.image.config.v1+json"}}


def test_an_image_is_looked_at_in_its_registry() -> None:
    amd = {"architecture": "amd64", "os": "linux"}
    cases = [({"1": INDEX}, "linux/amd64, linux/arm64"), ({"1": PLAIN, DIGEST: amd}, "for linux/amd64")]
    for manifests, words in cases:
        for login in ("none", "token"):
            with registry(manifests, login=login) as host:
                assert words in check_image(f"{host}/you/image:1")
    with registry({"1": ARM}) as host, pytest.raises(Exception, match=r"is for linux/arm64, .*--platform linux/amd64"):
        check_image(f"{host}/you/image:1")
    with registry({}) as host, pytest.raises(Exception, match="is not in its registry"):
        check_image(f"{host}/you/image:1")
    with registry({"1": INDEX}, login="closed") as host, pytest.raises(DeniedError, match="without a login"):
        check_image(f"{host}/you/image:1")


@pytest.mark.parametrize(
    ("text", "registry_", "repository", "version"),
    [
        ("you/image", "registry-1.docker.io", "you/image", "latest"),
        ("docker.io/you/image:1.0", "registry-1.docker.io", "you/image", "1.0"),
        ("image:2", "registry-1.docker.io", "library/image", "2"),
        (f"ghcr.io/you/image:1@{DIGEST}", "ghcr.io", "you/image", DIGEST),
        ("localhost:5000/a/b/c:x", "localhost:5000", "a/b/c", "x"),
    ],
)
def test_an_image_s_name_is_read_as_docker_reads_it(text: str, registry_: str, repository: str, version: str) -> None:
    image = ImageReference.parse(text)
    assert (image.registry, image.repository, image.version) == (registry_, repository, version)


def states(checks: list[Check]) -> dict[str, str]:
    return {each.name: each.state for each in checks}


def test_all_is_well_or_cannot_be_asked_at_runpod(tmp_path: Path) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world, registry({"1": INDEX}) as host:
        target = world.target(image=f"{host}/you/image:1", max_usd_per_month=5)
        checks = of_runpod(target, "hand-production", PodClient(SecretStr("rpa_double"), world.url))
        wanted = dict.fromkeys(("key", "rights", "quota", "cap", "stock", "image", "bundle"), "ok") | {"balance": "unknown"}
        assert states(checks) == wanted
        assert all(len(str(each).splitlines()) == 1 for each in checks)
        assert not world.double.cloud.endpoints


RUNPOD_FAULTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a key that is not accepted": ({"key": "rpa_wrong"}, "key", "failed"),
    "an image for another machine": ({"manifests": {"1": ARM}}, "image", "failed"),
    "an image that is not there": ({"manifests": {}}, "image", "failed"),
    "a private image": ({"login": "closed"}, "image", "failed"),
    "a cap below an idle month": ({"min_workers": 1, "max_usd_per_month": 1}, "cap", "failed"),
    "a pool that does not exist": ({"pools": ("MOON",)}, "stock", "failed"),
    "more workers than are usual": ({"max_workers": 9, "account_workers": None}, "quota", "failed"),
    "a registry's credentials that are not there": ({"registry": "nope"}, "names", "failed"),
    "a template that is not there": ({"template": "nope"}, "names", "failed"),
    "a secret that is not there": ({"bundle_secret": "nope"}, "names", "failed"),
}


@pytest.mark.parametrize("case", RUNPOD_FAULTS)
def test_what_would_go_wrong_at_runpod_is_one_line_with_a_remedy(tmp_path: Path, case: str) -> None:
    fields, name, state = RUNPOD_FAULTS[case]
    special = {key: fields[key] for key in ("key", "manifests", "login") if key in fields}
    config = {key: value for key, value in fields.items() if key not in special}
    with clouds.runpod_world(tmp_path / "cloud") as world:
        manifests, login = special.get("manifests", {"1": INDEX}), special.get("login", "none")
        with registry(manifests, login=login) as host:
            target, key = world.target(image=f"{host}/you/image:1", **config), special.get("key", "rpa_double")
            target.client = world.client(key)
            checks = of_runpod(target, "hand-production", PodClient(SecretStr(key), world.url))
        (bad,) = [each for each in checks if each.name == name]
        assert bad.state == state, bad
        assert bad.remedy
        assert {each.name for each in checks if each.state == "failed"} <= {name}


def test_all_is_well_at_hugging_face_and_what_is_not_is_said(tmp_path: Path) -> None:
    with clouds.huggingface_world(tmp_path / "cloud") as world:
        checks = of_huggingface(world.target(), "hand-production")
        names = ("key", "rights", "balance", "cap", "stock", "bundle", "image")
        assert states(checks) == dict.fromkeys(names, "ok") | {"quota": "unknown"}
        gpu = {"accelerator": "gpu", "instance": "nvidia-t4"}
        assert states(of_huggingface(world.target(**gpu), "x"))["quota"] == "ok"
        faults: dict[str, dict[str, Any]] = {
            "rights": {"repository": "you/hand"},
            "cap": {"min_replicas": 1, "max_idle_usd_per_month": 1},
            "stock": {"region": "the-moon"},
            "quota": gpu | {"max_replicas": 50},
        }
        for name, fields in faults.items():
            assert states(of_huggingface(world.target(**fields), "x"))[name] == "failed", name
        world.hub().publish("me/hand", {"README.md": b"---\n---\n"}, "one", private=False)
        assert states(of_huggingface(world.target(), "x"))["bundle"] == "failed"
        world.double.token = "another"
        assert states(of_huggingface(world.target(), "x")) == {"key": "failed", "image": "ok"}
