"""`endpoint check` finds, before money flows, what would go wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

from registry.errors import DeniedError
from serving.fakes.http import listening
from serving.targets.checks import Check
from serving.targets.huggingface.checks import checks_of as of_huggingface
from serving.targets.images import ImageReference, check_image
from serving.targets.runpod.checks import checks_of as of_runpod
from serving.targets.runpod.pods import PodClient

DIGEST = "sha256:" + "a" * 64


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
