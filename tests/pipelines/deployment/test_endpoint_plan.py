"""`endpoint plan` says what `deploy` then does, and changes nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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
from serving.targets.contract import Target

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
