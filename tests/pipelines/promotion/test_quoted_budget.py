"""The budget gate judges by the target's own quote of the job's own deployment, wherever it is and whoever can be asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.deployment.quotes import Quoter
from pipelines.deployment.targets import Targets
from pipelines.job.jobfile import Job, parse_job
from pipelines.promotion.measure import Measuring
from registry.errors import UnavailableError
from registry.events import Quoted
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.evidence import gather
from registry.promotion.verdict import digest_version
from registry.records import Finding
from registry.settings import Settings
from registry.stages import Stage
from validation.gates.budget import BudgetGate

RUNPOD = {"kind": "runpod", "image": "docker.io/you/image:1", "bundles": "https://bundles.example"}
HUGGING = {"kind": "huggingface", "repository": "me/hand"}
DEPLOYMENTS: list[dict[str, Any]] = [
    {"kind": "local"},
    RUNPOD,
    RUNPOD | {"cpu": {"id": "cpu5c", "vcpus": 8}, "max_workers": 4},
    RUNPOD | {"pools": ["ADA_80_PRO"], "gpus": 3, "min_workers": 1, "max_workers": 1},
    RUNPOD | {"pools": ["AMPERE_16", "ADA_24"], "gpus": 2, "max_workers": 5},
    RUNPOD | {"pools": ["ADA_24"], "max_usd_per_month": 25},
    HUGGING,
    HUGGING | {"min_replicas": 2, "max_replicas": 3, "size": "x2"},
    HUGGING | {"accelerator": "gpu", "instance": "nvidia-l4", "min_replicas": 1},
]


class World:
    """A version of one model, a ledger, and the doubles' addresses in the settings."""

    def __init__(self, settings: Settings, files: Path) -> None:
        files.mkdir()
        (files / "model.bin").write_bytes(b"weights")
        self.store, self.ledger, self.quoter = MemoryStore(), MemoryLedger(), Quoter(Targets(settings))
        self.version = self.store.register("hand", files)
        self.lines: list[str] = []

    def judge(self, deploy: dict[str, Any], limit: float, quoter: Quoter | None = None) -> Finding:
        ask = (quoter or self.quoter).quote
        Measuring(self.store, self.ledger, job_of(deploy, limit), ask, self.lines.append)(self.version, Stage.PRODUCTION)
        digest = digest_version(self.store, self.version)
        evidence = gather(self.ledger.entries("hand"), self.version, digest, Stage.PRODUCTION)
        (finding,) = BudgetGate(train_usd=None, serve_usd_per_month=limit).judge(evidence)
        return finding

    @property
    def quotes(self) -> list[Quoted]:
        return [row.event for row in self.ledger.entries("hand") if isinstance(row.event, Quoted)]


def job_of(deploy: dict[str, Any], limit: float) -> Job:
    gate = {"kind": "budget", "train_usd": None, "serve_usd_per_month": limit}
    document = {
        "model": "hand",
        "train": [{"kind": "keras"}],
        "deploy": {"production": deploy},
        "gates": {"production": [gate]},
    }
    return parse_job(document, "a test")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with clouds.runpod_world(tmp_path / "r") as runpod, clouds.huggingface_world(tmp_path / "h") as hub:
        variables = {"HF_URL": hub.url, "HF_ENDPOINTS_URL": f"{hub.url}/ie-api", "HF_TOKEN": "hf_double"}
        for name, value in (variables | {"RUNPOD_URL": runpod.url, "RUNPOD_API_KEY": "rpa_double"}).items():
            monkeypatch.setenv(f"MODELYARD_{name}", value)
        yield World(Settings(home=tmp_path / "home"), tmp_path / "files")


def test_whatever_is_deployed_the_gate_sees_what_its_target_quotes(world: World) -> None:
    for deploy in DEPLOYMENTS:
        config = job_of(deploy, 1).deploy.of(Stage.PRODUCTION)
        assert config is not None
        quote = world.quoter.targets.build(config).quote()
        bound = quote.usd_per_month_bound
        assert world.judge(deploy, float(bound) + 0.01).passed, deploy
        refused = world.judge(deploy, max(float(bound) - 0.02, 0))
        assert refused.passed is (bound == 0), deploy
        assert world.quotes[-1].usd_per_month == bound.quantize(Decimal("0.01")), deploy
        assert deploy["kind"] in refused.text


def test_three_h100_do_not_pass_fifty_dollars(world: World) -> None:
    finding = world.judge(DEPLOYMENTS[3], 50)
    assert not finding.passed
    assert "serving cost of up to $9,154.20 a month is above $50.00" in finding.text
    assert "ADA_80_PRO x 3" in finding.text
    capped = world.judge(DEPLOYMENTS[3] | {"max_usd_per_month": 40}, 50)
    assert capped.passed


def test_without_a_key_or_an_answer_the_known_prices_count_and_never_this_machine_s(world: World, tmp_path: Path) -> None:
    keyless = Quoter(Targets(Settings(home=tmp_path / "home").model_copy(update={"runpod_api_key": None, "hf_token": None})))
    silent = Quoter(world.quoter.targets, asks=False)
    for quoter in (keyless, silent):
        for deploy in DEPLOYMENTS[1:]:
            assert world.judge(deploy, 100_000, quoter).passed, deploy
            known = world.quotes[-1]
            config = job_of(deploy, 1).deploy.of(Stage.PRODUCTION)
            assert config is not None
            live = world.quoter.targets.build(config).quote()
            assert known.usd_per_month == pytest.approx(live.usd_per_month_bound, rel=Decimal("0.05")), deploy


def test_a_deployment_that_cannot_be_priced_is_refused_whatever_was_quoted_before(world: World) -> None:
    assert world.judge({"kind": "local"}, 50).passed
    finding = world.judge(RUNPOD | {"pools": ["NO_SUCH_POOL"]}, 50)
    assert not finding.passed
    assert "was not quoted" in finding.text
    assert "NO_SUCH_POOL" in finding.text
    assert world.judge({"kind": "local"}, 50).passed


def test_the_same_quote_is_recorded_once_and_one_that_cannot_be_asked_again_stays(world: World) -> None:
    for _ in range(3):
        world.judge(RUNPOD, 1000)
    assert len(world.quotes) == 1

    class Broken(Quoter):
        def quote(self, config: object) -> Any:
            raise UnavailableError("RunPod", "does not answer", "try again later")

    assert world.judge(RUNPOD, 1000, Broken(world.quoter.targets)).passed
    assert not world.judge(RUNPOD | {"max_workers": 9}, 1000, Broken(world.quoter.targets)).passed
