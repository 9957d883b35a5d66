"""`modelyard budget` of models and of people, as somebody types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.cli.app import run as run_command
from pipelines.home import Home
from registry.settings import Settings
from registry.spending import TrainingFailed

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs a command over a home in which ada spent four dollars; exit code, answer and message."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    paid = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(4), "price_as_of": "2026-11-01", "reason": "ended"}
    Home(Settings(home=home)).ledger().append(
        TrainingFailed.model_validate({"model": "hand", "trainer": "torch", "run_id": "r", "actor": "ada"} | paid)
    )

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            run_command(["budget", *words, "--home", str(home)])
        shown = capfd.readouterr()
        return int(left.value.code or 0), shown.out.strip(), shown.err.strip()

    return run


def test_a_persons_budget_is_set_shown_overridden_and_ended(command: Command) -> None:
    assert "it has no budget" in command("show", "--person", "ada")[1]
    code, out, _ = command("person", "ada", "--usd-per-month", "4", "--json")
    assert (code, json.loads(out)["usd_per_month"], json.loads(out)["person"]) == (0, "4.0", "ada")
    shown = json.loads(command("show", "--person", "ada", "--json")[1])
    assert (shown["state"], shown["person"], shown["spent_usd"], shown["held_usd"]) == ("over", "ada", "4", "0")
    code, out, _ = command("override", "--person", "ada", "--reason", "the fair")
    assert code == 0
    assert "($4.00 of $4.00 spent): the fair" in out
    assert json.loads(command("show", "--person", "ada", "--json")[1])["state"] == "overridden"
    assert "ended by" in command("person", "ada", "--none")[1]
    assert json.loads(command("show", "--person", "ada", "--json")[1])["state"] == "none"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show",), "is of a model or of a person; name MODEL, or --person NAME"),
        (("show", "hand", "--person", "ada"), "is of a model or of a person"),
        (("override", "--reason", "x"), "is of a model or of a person"),
        (
            ("override", "--person", "ada", "--reason", "x"),
            "budget of ada: is not set; set it with `modelyard budget person ada",
        ),
        (("person", "ada"), "give an amount, or --none"),
        (("person", "ada", "--none", "--usd-per-month", "3"), "give an amount, or --none"),
        (("person", "ada", "--usd-per-month", "0"), "is no amount"),
        (("person", "ada", "--usd-per-month", "nan"), "--usd-per-month"),
        (("person", " ", "--usd-per-month", "3"), "PERSON: is empty"),
    ],
)
def test_what_cannot_be_meant_is_one_line(command: Command, words: tuple[str, ...], message: str) -> None:
    code, out, err = command(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
