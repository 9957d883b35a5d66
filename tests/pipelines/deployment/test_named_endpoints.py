"""An endpoint by a name of its own: the budgets, rows and retirement of `deploy`, on this machine and in a cloud."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "contracts"), str(Path(__file__).parent)]
import clouds
from canary_world import ADA, World, killed_before, make_world

from pipelines.bundles.store import open_exported
from pipelines.deployment.named import NamedEndpoint, check_gate, record_deletion
from pipelines.job.deploys import AnyDeploy, LocalDeploy
from pipelines.job.jobfile import Job, parse_job
from registry.errors import InputError, RefusedError, UnavailableError
from registry.events import Deployed, DeployStarted, EndpointDeleted, Exported, PolicySet, now
from registry.memory import MemoryLedger
from registry.promotion.promote import promote
from registry.promotion.verdict import digest_version, resolve
from registry.refs import Ref
from registry.reports.accounts import spending
from registry.reports.costs import CostReport
from registry.reports.endpoints import endpoint_spans, last_deployed, named_endpoints
from registry.spending import Billed
from registry.stages import Stage
from serving.targets.contract import Target
from serving.targets.runpod.config import RunPodDeploy

CONFIGS: dict[str, AnyDeploy] = {
    "local": LocalDeploy(smoke_images=1),
    "runpod": RunPodDeploy(image=clouds.IMAGE, bundles="https://bundles.invalid", smoke_images=1, max_usd_per_month=90),
}


@contextmanager
def world_with(kind: str, make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> Iterator[tuple[World, Target]]:
    """A version in production on this machine, and the target that the named endpoint goes to."""
    with clouds.runpod_world(tmp_path / "cloud") as runpod:
        made = make_world(make_bundle, picture, tmp_path, LocalDeploy(smoke_images=1))
        made.targets.runpod.append(runpod.target(pools=(), max_usd_per_month=90))
        made.promote(1)
        try:
            yield made, made.targets.build(CONFIGS[kind])
        finally:
            made.targets.local().delete("mine")
            made.targets.local().delete("colours-production")


def named(made: World, kind: str, name: str = "mine", number: int = 1) -> NamedEndpoint:
    store, ledger = made.context.store, made.context.ledger
    version = resolve(store, Ref("colours", number))
    rows = [row.event for row in ledger.entries("colours")]
    exported = next(event for event in rows if isinstance(event, Exported) and event.version == number)
    digest, bundle = digest_version(store, version), open_exported(exported)
    return NamedEndpoint(ledger, made.said.append, name, CONFIGS[kind], Stage.PRODUCTION, version, digest, bundle)


@pytest.mark.parametrize("kind", CONFIGS)
def test_it_is_booked_beside_its_stage_s_endpoint_and_retired_with_it(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path, kind: str
) -> None:
    with world_with(kind, make_bundle, picture, tmp_path) as (made, target):
        ledger = made.context.ledger
        for _ in range(2):
            live = named(made, kind).deploy(target, None)
        (event,) = named_endpoints(ledger.entries())
        assert (event.endpoint, event.target, event.stage, event.url) == ("mine", kind, Stage.PRODUCTION, live.url)
        assert event.max_usd_per_month == (90 if kind == "runpod" else None)
        assert event.handle == (live.handle if kind == "runpod" else ""), "it is deleted by the provider's id, as a stage's is"
        own = last_deployed(ledger.entries("colours"), Stage.PRODUCTION)
        assert own is not None
        assert own.endpoint == "", "the stage's endpoint is another"
        spans = {span.name: span.until for span in endpoint_spans(ledger.entries())}
        assert spans == {"colours-production": None, "mine": None}
        assert CostReport.of(ledger.entries(), now()).serving_usd_per_month == event.usd_per_month + own.usd_per_month
        assert made.once() == [], "while the stage is held it stays"
        promote(made.context, Ref("colours", 1), Stage.ARCHIVED, ADA)
        assert target.find("mine") is None
        assert named_endpoints(ledger.entries()) == []
        assert isinstance(ledger.entries()[-1].event, EndpointDeleted) or any(
            isinstance(row.event, EndpointDeleted) for row in ledger.entries()
        )


@pytest.mark.parametrize("kind", CONFIGS)
def test_what_could_not_be_deleted_is_tried_again_and_costs_until_then(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise UnavailableError("the provider", "gives no answer", "try again later")

    with world_with(kind, make_bundle, picture, tmp_path) as (made, target):
        named(made, kind).deploy(target, None)
        with monkeypatch.context() as broken:
            broken.setattr(type(target), "delete", refuses)
            promote(made.context, Ref("colours", 1), Stage.ARCHIVED, ADA)
            assert [event.endpoint for event in named_endpoints(made.context.ledger.entries())] == ["mine"]
        assert any("mine deleted: no version holds its stage" in line for line in made.once())
        assert target.find("mine") is None
        assert named_endpoints(made.context.ledger.entries()) == []


def test_one_that_a_killed_command_made_is_known_and_retired(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    with world_with("runpod", make_bundle, picture, tmp_path) as (made, target):
        ledger = made.context.ledger
        with killed_before(ledger, Deployed):
            named(made, "runpod").deploy(target, None)
        assert [live.name for live in target.list()] == ["mine"]
        (event,) = named_endpoints(ledger.entries())
        assert str(event) == "deploying colours/1 as endpoint mine for production to runpod"
        promote(made.context, Ref("colours", 1), Stage.ARCHIVED, ADA)
        assert target.list() == []
        assert named_endpoints(ledger.entries()) == []


def test_another_version_takes_its_row_over_and_a_deletion_ends_it(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    with world_with("local", make_bundle, picture, tmp_path) as (made, target):
        named(made, "local").deploy(target, None)
        made.promote(2)
        live = named(made, "local", number=2).deploy(target, None)
        rows = [event.version for event in named_endpoints(made.context.ledger.entries())]
        assert rows == [2]
        target.delete("mine")
        record_deletion(made.context.ledger, live, "local")
        record_deletion(made.context.ledger, live, "local")
        ends = [row.event for row in made.context.ledger.entries() if isinstance(row.event, EndpointDeleted)]
        assert [str(event) for event in ends] == ["mine of colours/2 on local deleted: by `mlflow deployments delete`"]


def policy(limit: float | None = None, budget: float | None = None) -> Job:
    gate: dict[str, Any] = {"kind": "budget", "train_usd": 9, "serve_usd_per_month": limit}
    document: dict[str, Any] = {"model": "colours", "train": [{"kind": "keras"}], "gates": {"production": [gate]}}
    return parse_job(document | ({"budget": {"usd_per_month": budget}} if budget else {}), "a test")


def test_a_spent_budget_and_the_stage_s_budget_gate_hold_for_every_name(
    make_bundle, picture: Callable[..., bytes], tmp_path: Path
) -> None:
    with world_with("runpod", make_bundle, picture, tmp_path) as (made, target):
        ledger = made.context.ledger
        with pytest.raises(RefusedError, match=r"may cost \$87\.60 a month, and the budget gate of production allows \$50\.00"):
            named(made, "runpod").deploy(target, policy(50))
        check_gate("mine", target.quote(), policy(90), Stage.PRODUCTION)
        check_gate("mine", target.quote(), policy(50), Stage.STAGING)
        job = policy(budget=5).model_dump(mode="json")
        fields = {"policy_hash": "x", "actor": "ada", "proven": True, "changes": []}
        ledger.append(PolicySet.model_validate({"model": "colours", "job": job} | fields, strict=False))
        bill = {"model": "colours", "provider": "runpod", "resource": "colours-production", "told": "6 USD", "source": "x"}
        at = now().replace(microsecond=0)
        start = at.replace(day=1, hour=0, minute=0, second=0)
        ledger.append(Billed(**bill, start=start, end=at, usd=Decimal(6)))
        assert sum(spend.usd for spend in spending(ledger.entries(), now())) >= 6
        with pytest.raises(RefusedError, match="budget of colours: is spent"):
            named(made, "runpod").deploy(target, None)
        assert target.find("mine") is None
        assert not [row for row in ledger.entries() if isinstance(row.event, Deployed) and row.event.endpoint]


def test_a_stage_s_name_is_not_anybody_s(make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> None:
    words = "is the name of a stage's endpoint"
    with world_with("local", make_bundle, picture, tmp_path) as (made, target), pytest.raises(InputError, match=words):
        named(made, "local", "colours-staging").deploy(target, None)


def test_endpoints_of_one_name_at_two_owners_are_two(make_bundle, tmp_path: Path) -> None:
    subject: dict[str, Any] = {"model": "colours", "version": 1, "created_ms": 1, "digest": "0" * 64, "stage": Stage.PRODUCTION}
    named_there = {"target": "huggingface", "endpoint": "mine"}
    ledger = MemoryLedger()
    for owner in ("me", "team"):
        ledger.append(DeployStarted(**subject, **named_there, owner=owner))
    assert [event.owner for event in named_endpoints(ledger.entries())] == ["me", "team"]
    ledger.append(EndpointDeleted(**subject, **named_there, owner="me", reason="gone"))
    assert [event.owner for event in named_endpoints(ledger.entries())] == ["team"]
    ledger.append(EndpointDeleted(**subject, **named_there, reason="of an older release"))
    assert named_endpoints(ledger.entries()) == []
