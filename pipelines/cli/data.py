"""`frames`: from clips to a data set; `clean`: what nothing refers to any more."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.dataset.check import check
from pipelines.cli.dataset.importing import ModelName, data_job, show_left_out
from pipelines.cli.dataset.versions import say_step
from pipelines.cli.options import JOB, HomeFolder, JobFile, datasets_of, open_home, read_home
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.cleaning.unused import Unused
    from pipelines.data.dataset import DataSet
    from pipelines.data.versions import Step
    from pipelines.home import Home
    from registry.protocols import Versions


def frames(
    *,
    clips: Annotated[Path | None, typer.Option(help="A folder of <class>/*.mp4, instead of the job file's.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of <class>/*.jpg, instead of clips.")] = None,
    group: Annotated[str | None, typer.Option(help="Regular expression: which images belong together.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames kept from each second.", min=0.01, max=120)] = None,
    out: Annotated[Path | None, typer.Option(help="Where to.  [default: HOME/datasets/MODEL]")] = None,
    name: ModelName = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a clip or an image that is not whole.")] = False,
    resplit: Annotated[bool, typer.Option("--resplit", help="Deal all clips, images or groups to splits again.")] = False,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Turn clips (or images) into the next version of a data set, split by clip; a clip keeps the split that it has."""
    from pipelines.data.build import open_source
    from pipelines.data.sources import check_source

    check_source(clips, images, group)
    chosen = data_job(job_file, images or clips, name)
    given = {"clips": clips, "images": images, "group": group, "fps": fps}
    changes = {key: value for key, value in given.items() if value is not None}
    if clips and not images:
        changes["images"] = None
    data = chosen.data.model_copy(update=changes)
    datasets = datasets_of(open_home(home))
    folder = out or datasets.folder_of(chosen.model)
    before = datasets.lineage(folder, chosen.model)
    with bar() as progress:
        source = open_source(data, chosen.classes, strict=strict)
        made = datasets.build(data, folder, progress, source, model=chosen.model, again=resplit)
    _show(made, say_step(datasets, before, made, chosen.model), as_json=as_json)


def _show(data: DataSet, step: Step, *, as_json: bool) -> None:
    """What a data set holds, and which version it is."""
    from pipelines.cli.dataset.clips import read_sources, show_clips
    from pipelines.data.dataset import SPLITS
    from pipelines.data.lineage import unit_of

    manifest = data.manifest
    counts = {split: len(data.rows(split)) for split in SPLITS}
    clips = {split: len({row.clip for row in data.rows(split)}) for split in SPLITS}
    document = {"data": str(data.folder), "digest": manifest.digest, "labels": manifest.labels}
    sources, version = read_sources(data.folder), step.model_dump(mode="json", exclude={"text"})
    left_out = sources.get("left_out", [])
    document |= {"frames": counts, "clips": clips, "sources": sources, "left_out": left_out}
    answer(document | version, as_json=as_json)
    if not as_json:
        show_clips(sources)
        show_left_out(left_out)
        rows = [(split, clips[split], counts[split]) for split in SPLITS]
        unit, pictures = unit_of(manifest), "frames" if manifest.source == "clips" else "images"
        if unit == pictures[:-1]:
            table(step.name, ["split", pictures], [(split, counts[split]) for split in SPLITS])
        else:
            table(step.name, ["split", f"{unit}s", pictures], rows)
        print(f"{len(manifest.labels)} classes in {data.folder}")
        print(f"manifest: {data.folder / 'manifest.json'} (digest {manifest.digest[:12]})")
        print(step.text)


class CleanKind(StrEnum):
    """What can be cleaned."""

    BUNDLES = "bundles"
    DATASETS = "datasets"
    TRAININGS = "trainings"
    CACHE = "cache"
    ENVIRONMENTS = "environments"
    LOGS = "logs"
    LEFTOVERS = "leftovers"


def clean(
    *,
    kind: Annotated[list[CleanKind] | None, typer.Option(help="Only this kind; may be repeated.  [default: all]")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show, whatever else is said.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what nothing refers to any more, with sizes, and remove it when told to: exports, data sets, runs, logs and more."""
    import sys
    import time

    from pipelines.cleaning.clean import Cleaner
    from pipelines.cleaning.unused import KINDS
    from registry.errors import NotFoundError

    opened = read_home(home)
    if not opened.settings.home.is_dir():
        raise NotFoundError(opened.settings.home, "there is no such home", "name it with --home")
    cleaner = Cleaner(opened.settings, opened.ledger(), _registry_of(opened), time.time)
    items = cleaner.find([name for name in KINDS if not kind or name in {chosen.value for chosen in kind}])
    if not as_json:
        _show_unused(items)
    asked = not (yes or as_json or dry_run) and bool(items) and sys.stdin.isatty()
    wanted = not dry_run and (yes or (asked and typer.confirm("remove all of this?")))
    removed = cleaner.remove(items) if wanted else []
    paths = {item.path for item in removed}
    answer([item.model_dump(mode="json") | {"removed": item.path in paths} for item in items], as_json=as_json)
    if not as_json and removed:
        print(f"removed {len(removed)}, which gives back {_megabytes(removed)}")
    elif not as_json and items and not asked:
        print("nothing was removed; `modelyard clean --yes` removes it")


def _registry_of(opened: Home) -> Versions | None:
    """MLflow's registry, or None where no server runs: then every version that the ledger names counts as existing."""
    from registry.errors import UnavailableError

    try:
        return opened.store()
    except UnavailableError:
        say("no MLflow server runs: versions that were deleted in MLflow count as existing")
        return None


def _show_unused(items: Sequence[Unused]) -> None:
    """What may go, and how much it is."""
    rows = [(item.kind, item.path, f"{item.size / 1e6:.1f} MB", item.why) for item in items]
    table(f"{len(items)} unused, {_megabytes(items)}", ["kind", "path", "size", "why"], rows)


def _megabytes(items: Sequence[Unused]) -> str:
    return f"{sum(item.size for item in items) / 1e6:.1f} MB"


def add_to(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(frames)
    app.command()(check)
    app.command()(clean)
