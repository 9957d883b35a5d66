"""`notify`: telling people of promotions, refusals and budgets."""

from __future__ import annotations

import typer

from pipelines.cli.options import HomeFolder, open_home, read_home
from pipelines.cli.output import AsJson, answer, table

group = typer.Typer(help="Notices of promotions, refusals and budgets, by webhook, Slack and e-mail.", no_args_is_help=True)


@group.command("test")
def send_test(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Send a test notice by every channel that is set; exit 1 where one failed."""
    from pipelines.services.notifier import try_all
    from registry.errors import InputError

    results = try_all(read_home(home).settings)
    if not results:
        raise InputError("notices", "have no channel", "set MODELYARD_NOTIFY_WEBHOOK, _SLACK or _SMTP")
    answer(results, as_json=as_json)
    if not as_json:
        table("notices", ["channel", "state", "message"], [(row["channel"], row["state"], row["said"]) for row in results])
    if any(row["state"] == "failed" for row in results):
        raise typer.Exit(1)


@group.command()
def status(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """What each channel has delivered, what waits, and how its last try went."""
    from pipelines.services.notifier import channel_status

    channels = channel_status(read_home(home))
    answer(channels, as_json=as_json)
    if not as_json:
        columns = ["channel", "delivered", "waiting", "given_up", "tries", "said"]
        heads = ["channel", "delivered", "waiting", "given up", "tries", "last error"]
        table("notices", heads, [[channel[column] for column in columns] for channel in channels])


@group.command()
def send(*, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Deliver what is due now, once. `modelyard up` and `reconcile --watch` do so by themselves."""
    from pipelines.cli.output import say
    from pipelines.services.channels import channels_of
    from pipelines.services.notifier import notifier_of

    opened = open_home(home)
    sent = notifier_of(opened, say, channels_of(opened.settings)).once()
    answer({"delivered": sent}, as_json=as_json, text=f"{sent} notices delivered")


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.add_typer(group, name="notify")
