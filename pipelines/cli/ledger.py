"""`ledger`: the chain of decisions, its keys, and beginning another one on purpose."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import HomeFolder, open_home, read_home
from pipelines.cli.output import AsJson, answer

group = typer.Typer(help="The record of decisions.", no_args_is_help=True, rich_markup_mode=None)


@group.command()
def verify(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Walk the chain of rows; exit 2 naming the first that was edited, removed or not signed by a trusted key."""
    rows = read_home(home).ledger().verify()
    answer({"rows": rows, "holds": True}, as_json=as_json, text=f"{rows} rows verified")


@group.command()
def key(
    *,
    new: Annotated[bool, typer.Option("--new", help="Make another key. What the one before signed stays trusted.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Print this home's public key: whoever has it can check the ledger and the evidence in MLflow."""
    from registry.errors import NotFoundError
    from registry.opening import keys_of
    from registry.signing import key_id, public_text

    settings = (open_home(home) if new else read_home(home)).settings
    keys = keys_of(settings)
    own = (keys.renew() if new else keys.read()).own
    if own is None:
        raise NotFoundError(settings.key, "is not there", "the first decision makes it, or `modelyard ledger key --new`")
    text = public_text(own.public_key())
    answer({"id": key_id(own.public_key()), "public_key": text}, as_json=as_json, text=text.strip())


@group.command()
def begin(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Give this home's ledger up and begin a new one: nothing that was decided before counts. The old file is kept."""
    kept = [str(path) for path in read_home(home).ledger().begin_anew()]
    before = f"the one before is kept as {kept[0]}" if kept else "there was no file to keep"
    answer({"kept": kept}, as_json=as_json, text=f"the next decision begins a new ledger; {before}")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="ledger")
