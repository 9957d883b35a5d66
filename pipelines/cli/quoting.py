"""`train --dry-run`: the plan, the data set, and what each trainer takes and costs at each place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipelines.cli.options import datasets_of
from pipelines.cli.output import answer, say, table
from registry.errors import RefusedError

if TYPE_CHECKING:
    from pipelines.home import Home
    from pipelines.job.jobfile import Job
    from pipelines.training.quotes.dry_run import DryRun
    from pipelines.training.quotes.places import PlaceQuote

_SHOWN = 12
"""Classes that are listed one by one."""


def show_dry_run(job: Job, trainers: str | None, data: Path | None, home: Home, *, as_json: bool) -> None:
    """Quote a job and print it. Exits with 1 afterwards where training would be refused."""
    from pipelines.training.quotes.dry_run import DryRunner
    from pipelines.training.trainers.build import choose_trainers

    configs, datasets = choose_trainers(job, trainers), datasets_of(home)
    dataset = datasets.resolve(data or datasets.folder_of(job.model))
    quoted = DryRunner(home.settings, home.ledger(), datasets, say).run(job, configs, dataset)
    answer(quoted.model_dump(mode="json"), as_json=as_json)
    if not as_json:
        _show(quoted)
    if quoted.refusals and as_json:  # one document, which has them
        raise typer.Exit(1)
    if quoted.refusals:
        raise RefusedError("train", f"would be refused: {quoted.refusals[0]}", "fix that; nothing was trained")


def _show(quoted: DryRun) -> None:
    print(f"{quoted.model}: {quoted.task}, on {quoted.dataset} ({quoted.digest[:12]}); data checks: {quoted.checks}")
    labels = sorted({label for split in quoted.images.values() for label in split})
    rows = [[label, *(_counts(quoted, split, label) for split in quoted.images)] for label in labels[:_SHOWN]]
    if len(labels) > _SHOWN:
        rows.append([f"and {len(labels) - _SHOWN} more", *("" for _ in quoted.images)])
    totals = [f"{sum(counts.values())} images" for counts in quoted.images.values()]
    table("data set: images (clips)", ["class", *quoted.images], [*rows, ["all", *totals]])
    for trainer in quoted.trainers:
        print(f"{trainer.kind}: {', then '.join(trainer.ways)}; {_told(trainer.config)}")
        table(
            f"{trainer.kind}: time and price of one training",
            ["where", "epochs", "time", "price", "an hour", "rests on"],
            [_row(quote) for quote in trainer.places],
        )
    if quoted.trials:
        print(f"search: up to {quoted.trials} trials come before; each may take as long")
    print(f"Checking the data took {quoted.check_s:g} s, which is not booked; nor is registering, evaluating or exporting.")
    for status in quoted.budgets:
        print(f"budget: {status}")


def _told(config: dict[str, object]) -> str:
    """What the trainer was told, in the job file's words."""
    shown = {key: value for key, value in config.items() if value is not None and key not in {"kind", "arch", "weights_sha256"}}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


def _counts(quoted: DryRun, split: str, label: str) -> str:
    images, clips = quoted.images[split].get(label, 0), quoted.clips[split].get(label, 0)
    return f"{images} ({clips})" if images else ""


def _row(quote: PlaceQuote) -> list[object]:
    unknown = "not known"
    free = quote.usd_per_hour is not None and not quote.usd_per_hour
    price = unknown if quote.usd is None else f"free ({quote.price_source})" if free else str(quote.usd)
    rate = "" if quote.usd_per_hour is None else f"${quote.usd_per_hour.normalize():f} ({quote.price_source})"
    name = f"{quote.name} (the job's)" if quote.chosen else quote.name
    return [name, quote.epochs or "", quote.seconds or unknown, price, rate, quote.basis]
