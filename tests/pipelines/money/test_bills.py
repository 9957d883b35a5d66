"""Bills come in once: an overlap is refused or replaces, what was imported beats what is fetched, what is unknown is said."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from pipelines.home import Home
from pipelines.money.bills import fetch_bills, import_bills
from pipelines.money.costs import summed
from registry.amounts import Rates
from registry.errors import InputError
from registry.events import CanaryStarted, Deployed, Trained, now
from registry.memory import MemoryLedger
from registry.reports.accounts import spending
from registry.settings import Settings
from registry.spending import Billed
from registry.stages import Stage

KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}
HEAD = "provider,resource,start,end,amount,currency\n"
MONTH = "runpod,hand-production,2026-11-01,2026-12-01,30,USD\n"
DAY = "runpod,hand-production,2026-11-03,2026-11-04,2,USD\n"


def deployed(number: str = "ep1") -> Deployed:
    fields = {"stage": Stage.PRODUCTION, "target": "runpod", "url": f"https://{number}.api.runpod.ai", "bundle": "b"}
    return Deployed(**KEY, **fields, usd_per_month=Decimal(0), price_as_of="2026-11-01", smoke_images=8)


def trained(name: str = "r1") -> Trained:
    fields = {"seconds": 1.0, "hardware": "runpod: A100", "usd": Decimal("0.25"), "price_as_of": "2026-11-01", "run_id": name}
    return Trained(**KEY, trainer="torch", dataset="x", **fields)


@pytest.fixture
def book() -> MemoryLedger:
    made = MemoryLedger()
    made.append(deployed())
    made.append(trained())
    return made


def bring(book: MemoryLedger, path: Path, *lines: str, replace: bool = False, say=lambda _: None) -> list[Billed]:
    path.write_text(HEAD + "".join(lines))
    return import_bills(book, path, Rates(), say, replace=replace)


def spent(book: MemoryLedger) -> Decimal:
    return sum(
        (line.usd for line in spending(book.entries(), datetime(2027, 1, 1, tzinfo=UTC)) if line.basis == "billed"), Decimal(0)
    )


@pytest.mark.parametrize(("first", "then"), [(DAY, MONTH), (MONTH, DAY)])
def test_a_bill_that_overlaps_another_is_refused_by_naming_both_and_counts_where_it_is_told_to(
    first: str, then: str, book: MemoryLedger, tmp_path: Path
) -> None:
    bring(book, tmp_path / "a.csv", first)
    with pytest.raises(
        InputError, match=r"b\.csv: 'runpod billed .* overlaps 'runpod billed .*; leave one out, or add --replace"
    ) as refused:
        bring(book, tmp_path / "b.csv", then)
    assert "(a.csv)" in str(refused.value)
    assert "nothing was imported" in str(refused.value)
    rows = len(book.entries())
    assert len(bring(book, tmp_path / "b.csv", then, replace=True)) == 1
    assert len(book.entries()) == rows + 1
    assert spent(book) == (30 if then == MONTH else 29 + 2)


def test_two_lines_of_one_file_may_not_overlap_either(book: MemoryLedger, tmp_path: Path) -> None:
    rows = len(book.entries())
    with pytest.raises(InputError, match="no time is paid twice"):
        bring(book, tmp_path / "a.csv", MONTH, DAY)
    assert len(book.entries()) == rows


def test_days_beside_each_other_other_things_and_the_same_bill_again_do_not_overlap(book: MemoryLedger, tmp_path: Path) -> None:
    next_day = DAY.replace("11-04", "11-05").replace("11-03", "11-04")
    lines = (DAY, next_day, MONTH.replace("hand-production", "pod-1"), MONTH.replace("runpod", "aws"))
    assert len(bring(book, tmp_path / "a.csv", *lines)) == 4
    assert bring(book, tmp_path / "a.csv", *lines) == []
    assert [bill.usd for bill in bring(book, tmp_path / "a.csv", DAY.replace(",2,", ",3,"))] == [3]


def test_a_provider_s_name_may_be_written_as_people_write_it(book: MemoryLedger, tmp_path: Path) -> None:
    (bill,) = bring(book, tmp_path / "a.csv", DAY.replace("runpod", "Hugging Face"))
    assert bill.provider == "huggingface"
    assert bring(book, tmp_path / "a.csv", DAY.replace("runpod", "huggingface")) == []


def test_what_the_ledger_does_not_know_is_booked_as_other_and_said(book: MemoryLedger, tmp_path: Path) -> None:
    lines: list[str] = []
    bills = bring(
        book,
        tmp_path / "a.csv",
        DAY,
        DAY.replace("hand-production", "pod-7"),
        DAY.replace("hand-production", "r1"),
        say=lines.append,
    )
    assert [bill.model for bill in bills] == ["hand", "", "hand"]
    assert len(lines) == 1
    assert lines[0].startswith(
        "pod-7 is neither an endpoint nor a run in the ledger: booked as other; if it is for training, give"
    )
    kinds = {line.what: line.usd for line in spending(book.entries(), datetime(2027, 1, 1, tzinfo=UTC))}
    assert kinds == {"serving": 2, "other": 2, "training": 2}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (DAY.replace(",2,", ",1e400,"), "is implausibly large"),
        (DAY.replace(",2,", ",-1e400,"), "is implausibly large"),
        (DAY.replace("2026-11-03", "0001-01-01T00:00:00+14:00"), "is not a date"),
        (DAY.replace("2026-11-04", "9999-12-31"), "is not a plausible date for a bill"),
        (DAY.replace("2026-11-03", "1970-01-01"), "is not a plausible date for a bill"),
        ("runpod," + "x" * 200_000 + "\n", "line 2: cannot be read as CSV"),
    ],
)
def test_an_odd_line_is_one_line_and_nothing_comes_in(line: str, message: str, book: MemoryLedger, tmp_path: Path) -> None:
    rows = len(book.entries())
    with pytest.raises(InputError, match=message) as error:
        bring(book, tmp_path / "a.csv", line)
    assert len(str(error.value).splitlines()) == 1
    assert len(book.entries()) == rows


def test_a_folder_is_no_bill(book: MemoryLedger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read; name a CSV file"):
        import_bills(book, tmp_path, Rates())


def test_the_limit_of_csv_fields_is_python_s_own() -> None:
    assert csv.field_size_limit() < 200_000


# Fetching.


class Client:
    """RunPod's billing, as it answers: by day, for one endpoint."""

    rows: ClassVar[dict[str, list[tuple[int, str]]]] = {}

    def __init__(self, *_: object) -> None:
        """No connection."""

    def billed(self, number: str, since: datetime) -> list[SimpleNamespace]:
        first = since.replace(hour=0)
        return [
            SimpleNamespace(
                start_time=first + timedelta(days=day), end_time=first + timedelta(days=day + 1), total_amount=Decimal(usd)
            )
            for day, usd in self.rows.get(number, [])
        ]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RUNPOD_API_KEY", "rpa_double")
    monkeypatch.setattr("serving.targets.runpod.client.RunPodClient", Client)
    monkeypatch.setattr(Client, "rows", {"ep1": [(0, "1"), (1, "2")]})
    return Settings(home=tmp_path / "home")


def test_fetching_again_brings_what_is_new_and_a_day_that_has_grown(shop: Settings, book: MemoryLedger) -> None:
    assert [bill.usd for bill in fetch_bills(shop, book, 10)] == [1, 2]
    assert fetch_bills(shop, book, 10) == []
    Client.rows["ep1"][1] = (1, "3")
    assert [bill.usd for bill in fetch_bills(shop, book, 10)] == [3]
    assert spent(book) == 4


def test_endpoints_that_bore_a_name_one_after_the_other_are_both_billed_and_canaries_too(
    shop: Settings, book: MemoryLedger
) -> None:
    book.append(deployed("ep2"))
    fields = {"stage": Stage.PRODUCTION, "target": "runpod", "url": "https://ep3.api.runpod.ai", "bundle": "b", "against": 1}
    book.append(CanaryStarted(**KEY, **fields, rules={"share": 0.1}))
    Client.rows |= {"ep2": [(1, "10")], "ep3": [(0, "100")]}
    bills = {(bill.resource, bill.usd) for bill in fetch_bills(shop, book, 10)}
    assert bills == {
        ("hand-production", Decimal(1)),
        ("hand-production", Decimal(12)),
        ("hand-production-canary", Decimal(100)),
    }
    assert fetch_bills(shop, book, 10) == []
    assert {(line.what, line.model) for line in spending(book.entries(), now()) if line.basis == "billed"} == {
        ("serving", "hand")
    }


def test_a_bill_that_somebody_imported_is_not_overruled_by_fetching(shop: Settings, book: MemoryLedger, tmp_path: Path) -> None:
    first = (now() - timedelta(days=10)).replace(hour=0, minute=0, second=0, microsecond=0)
    day = f"runpod,hand-production,{first.isoformat()},{(first + timedelta(days=1)).isoformat()},7,USD\n"
    bring(book, tmp_path / "a.csv", day)
    lines: list[str] = []
    assert [bill.usd for bill in fetch_bills(shop, book, 10, lines.append)] == [2]
    assert len(lines) == 1
    assert lines[0].startswith("left out 1: bills that were imported are about that time already, such as runpod billed 7 USD")
    assert spent(book) == 9


def test_the_sums_of_a_month_share_its_money_among_its_promotions(tmp_path: Path) -> None:
    home = Home(Settings(home=tmp_path / "home"))
    home.ledger().append(trained())
    summary = summed(home.ledger().entries(), home.settings, "experiment", f"{now():%Y-%m}")
    assert [(group.key, group.usd) for group in summary.groups] == [("hand", Decimal("0.25"))]
