"""`budget`: what a model, or a person, may spend in a month."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import HomeFolder, open_home, read_home
from pipelines.cli.output import AsJson, answer

budget = typer.Typer(help="What a model, or a person, may spend in a month.", no_args_is_help=True)


@budget.command()
def show(
    model: Annotated[str | None, typer.Argument(metavar="MODEL")] = None,
    *,
    person: Annotated[str | None, typer.Option(help="Of a person instead, over all models.")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """What a model or a person spent this month, what trainings that run hold, and what they may."""
    from pipelines.money.budgets import standing_of
    from registry.events import now
    from registry.reports.budgets import person_standing

    name = _either(model, person)
    entries = read_home(home).ledger().entries()
    status = standing_of(entries, name, now()) if person is None else person_standing(entries, name, now())
    answer(status.model_dump(mode="json"), as_json=as_json, text=str(status))


@budget.command(name="person")
def person_(
    name: Annotated[str, typer.Argument(metavar="PERSON", help="As `modelyard costs --by person` names them.")],
    *,
    usd_per_month: Annotated[
        float | None, typer.Option(help="US dollars of training in a month, over all models.", min=0)
    ] = None,
    warn_at: Annotated[float, typer.Option(help="The share of it from which on they are warned.", min=0, max=1)] = 0.8,
    none: Annotated[bool, typer.Option("--none", help="End the budget.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Set what a person may spend on training in a month; the ledger records who set it."""
    from decimal import Decimal

    from pipelines.identity import whoami
    from pipelines.money.budgets import set_person_budget
    from registry.errors import InputError

    if none is (usd_per_month is not None):
        raise InputError("--usd-per-month", "give an amount, or --none to end the budget", "for example --usd-per-month 20")
    usd = None if usd_per_month is None else Decimal(str(usd_per_month))
    opened = open_home(home)
    event = set_person_budget(opened.ledger(), name, usd, whoami(opened.settings), warn_at)
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))


@budget.command()
def override(
    model: Annotated[str | None, typer.Argument(metavar="MODEL")] = None,
    *,
    person: Annotated[str | None, typer.Option(help="The budget of a person instead.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it goes into the ledger with your name.")],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a model, or a person, spend more than the budget until the month ends."""
    from pipelines.identity import whoami
    from pipelines.money import budgets

    name, opened = _either(model, person), open_home(home)
    change = budgets.override if person is None else budgets.override_person
    event = change(opened.ledger(), name, reason, whoami(opened.settings))
    answer(event.model_dump(mode="json"), as_json=as_json, text=str(event))


def _either(model: str | None, person: str | None) -> str:
    """The model or the person. Raises InputError for both and for neither."""
    from registry.errors import InputError

    if (model is None) is (person is None):
        raise InputError("budget", "is of a model or of a person", "name MODEL, or --person NAME")
    return model if person is None else person  # pyright: ignore[reportReturnType] one of them is there
