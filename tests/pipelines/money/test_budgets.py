"""Budgets warn, block and are overridden with a name; bills come in whole or not at all."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))
import clouds

from pipelines.home import Home
from pipelines.job.jobfile import Budget, parse_job
from pipelines.job.policy import set_policy
from pipelines.money.bills import fetch_bills, import_bills
from pipelines.money.budgets import hold_budget, override, standing_of
from registry.amounts import parse_rates
from registry.errors import InputError, RefusedError
from registry.events import Deployed, Trained, now
from registry.ledger.store import open_ledger
from registry.memory import MemoryLedger
from registry.records import Actor
from registry.settings import Settings
from registry.spending import Billed
from registry.stages import Stage

ADA = Actor("ada", proven=True)
KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}


def spent(usd: str) -> Trained:
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(usd), "price_as_of": "2026-11-01"}
    return Trained(**KEY, trainer="torch", run_id="r", dataset="x", **fields)


@pytest.fixture
def ledger() -> MemoryLedger:
    """Of a model that may spend ten dollars a month."""
    made = MemoryLedger()
    set_policy(made, parse_job({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 10}}, "job"), ADA)
    return made


def test_it_warns_at_a_share_and_blocks_at_all_of_it(ledger: MemoryLedger) -> None:
    lines: list[str] = []
    ledger.append(spent("7.99"))
    hold_budget(ledger.entries("hand"), "hand", lines.append)
    assert lines == []
    ledger.append(spent("0.01"))
    hold_budget(ledger.entries("hand"), "hand", lines.append)
    assert lines == [f"budget: hand spent $8.00 of $10.00 in {now():%Y-%m}"]
    ledger.append(spent("2"))
    with pytest.raises(RefusedError, match=r"is spent: \$10\.00 of \$10\.00 in .*; raise `budget`.*budget override hand"):
        hold_budget(ledger.entries("hand"), "hand", lines.append)
    hold_budget(ledger.entries("hand"), "hand", lines.append, Budget(usd_per_month=Decimal(20)))  # the job file that is at hand


def test_an_override_is_recorded_and_ends_with_the_month(ledger: MemoryLedger) -> None:
    ledger.append(spent("12"))
    event = override(ledger, "hand", " the fair is tomorrow ", ADA)
    assert str(event).endswith("overridden by ada ($12.00 of $10.00 spent): the fair is tomorrow")
    lines: list[str] = []
    hold_budget(ledger.entries("hand"), "hand", lines.append)
    assert "overridden by ada" in lines[0]
    later = datetime(2099, 1, 1, tzinfo=UTC)
    assert standing_of(ledger.entries("hand"), "hand", later).state == "ok"
    with pytest.raises(InputError, match="--reason: is empty"):
        override(ledger, "hand", "  ", ADA)
    with pytest.raises(InputError, match="budget of foot: is not set"):
        override(ledger, "foot", "why not", ADA)


@pytest.mark.parametrize(
    "wrong", [{"usd_per_month": 0}, {"usd_per_month": -1}, {"usd_per_month": "nan"}, {"usd_per_month": 1, "warn_at": 2}]
)
def test_a_budget_that_is_none_is_refused(wrong: dict) -> None:
    with pytest.raises(InputError, match="budget"):
        parse_job({"model": "hand", "train": [{"kind": "torch"}], "budget": wrong}, "job")


# Training and deploying.


def test_training_is_refused_before_anything_is_read_or_started(tmp_path: Path) -> None:
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.training.job import TrainingJob

    job = parse_job({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 1}}, "job")
    shop = Home(Settings(home=tmp_path, mlflow_uri="http://127.0.0.1:9"))
    shop.ledger().append(spent("1"))
    with pytest.raises(RefusedError, match="budget of hand"):
        training = TrainingJob(
            shop.settings, shop.ledger(), shop.store, shop.tracker, DatasetCatalog(tmp_path / "datasets"), lambda _: None
        )
        training.run(job, job.train, None, lambda *_: None)  # type: ignore[arg-type]


@pytest.mark.journey
def test_the_command_shows_it_and_overrides_it(modelyard, tmp_path: Path) -> None:
    home = tmp_path / "home"
    book = Home(Settings(home=home)).ledger()
    set_policy(book, parse_job({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": 1}}, "job"), ADA)
    book.append(spent("1"))
    shown = modelyard("budget", "show", "hand", "--home", home, "--json")
    assert json.loads(shown.stdout)["state"] == "over"
    done = modelyard("budget", "override", "hand", "--reason", "once", "--home", home)
    assert done.returncode == 0, done.stderr
    assert json.loads(modelyard("budget", "show", "hand", "--home", home, "--json").stdout)["state"] == "overridden"
    summed = json.loads(modelyard("costs", "--by", "model", "--month", f"{now():%Y-%m}", "--home", home, "--json").stdout)
    assert (summed["usd"], summed["groups"][0]["key"], summed["groups"][0]["runs"]) == ("1", "hand", 1)
    refused = modelyard("costs", "--month", "November", "--home", home)
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "modelyard: month 'November': is not a month; write it as 2026-11",
    )


# Bills.

HEAD = "provider,resource,start,end,amount,currency\n"
GOOD = "huggingface,hand-production,2026-11-01,2026-11-02,1.50,USD\n"


def stood() -> Deployed:
    fields = {"stage": Stage.PRODUCTION, "target": "huggingface", "url": "u", "bundle": "b", "smoke_images": 8}
    return Deployed(**KEY, usd_per_month=Decimal(0), price_as_of="2026-11-01", **fields)


def test_a_csv_comes_in_once_and_a_corrected_line_again(tmp_path: Path) -> None:
    book, path = MemoryLedger(), tmp_path / "bill.csv"
    book.append(stood())
    path.write_text("﻿" + HEAD + GOOD + "aws,elsewhere,2026-11-01T00:00:00Z,2026-11-01T01:00:00+00:00,2,EUR\n")
    bills = import_bills(book, path, parse_rates(["EUR=1.10"]))
    assert [(bill.model, bill.usd, bill.told, bill.rate) for bill in bills] == [
        ("hand", Decimal("1.50"), "1.50 USD", 1),
        ("", Decimal("2.20"), "2 EUR", Decimal("1.10")),
    ]
    assert bills[0].source == "bill.csv"
    assert import_bills(book, path, parse_rates(["EUR=1.10"])) == []
    path.write_text(HEAD + GOOD.replace("1.50", "1.75"))
    assert [bill.usd for bill in import_bills(book, path, parse_rates([]))] == [Decimal("1.75")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("huggingface,x,2026-11-01,2026-11-02,1.50,EUR", r"is not in USD; name a rate, e\.g\. --rate EUR="),
        ("huggingface,x,2026-11-01,2026-11-02,one,USD", "line 3: 'one USD' is not an amount"),
        ("huggingface,x,2026-11-01,2026-11-02,NaN,USD", "is not an amount"),
        ("huggingface,x,2026-11-01,2026-11-02,-1,USD", "bills -1.00 USD"),
        ("huggingface,x,2026-11-02,2026-11-01,1,USD", "ends before it starts"),
        ("huggingface,x,yesterday,2026-11-01,1,USD", "line 3, start: 'yesterday' is not a date"),
        ("huggingface,x,2026-11-02", "line 3: has no end"),
    ],
)
def test_one_wrong_line_is_named_and_nothing_comes_in(line: str, message: str, tmp_path: Path) -> None:
    book, path = MemoryLedger(), tmp_path / "bill.csv"
    path.write_text(HEAD + GOOD + line + "\n")
    with pytest.raises(InputError, match=message):
        import_bills(book, path, parse_rates([]))
    assert book.entries() == []


def test_a_file_that_is_no_bill_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    with pytest.raises(InputError, match="does not exist"):
        import_bills(MemoryLedger(), path, parse_rates([]))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        import_bills(MemoryLedger(), path, parse_rates([]))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="has no column 'provider'"):
        import_bills(MemoryLedger(), path, parse_rates([]))


@pytest.mark.parametrize("mode", ["load_balancer", "queue"])
def test_runpods_bill_is_fetched_for_what_the_ledger_knows(
    mode: str, make_bundle, picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clouds.runpod_world(tmp_path / "cloud") as world:
        bundle = make_bundle(tmp_path / "bundle")
        world.shelf.put(bundle)
        live = world.target(mode=mode).deploy("hand-production", bundle, lambda ask: ask(picture("red")) and None)
        monkeypatch.setenv("RUNPOD_API_KEY", "rpa_double")
        monkeypatch.setenv("MODELYARD_RUNPOD_URL", world.url)
        shop = Settings(home=tmp_path / "home")
        book = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
        fields = {"stage": Stage.PRODUCTION, "target": "runpod", "url": live.url, "bundle": "b", "smoke_images": 8}
        book.append(Deployed(**KEY, usd_per_month=Decimal(0), price_as_of="2026-11-01", **fields))
        world.clock.advance(3600)
        (bill,) = fetch_bills(shop, book, 366)
        assert (bill.model, bill.resource) == ("hand", "hand-production")
        assert 0 < bill.usd < Decimal("0.05")
        assert isinstance(book.entries("hand")[-1].event, Billed)
