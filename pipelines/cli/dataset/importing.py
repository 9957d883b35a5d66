"""`modelyard import`: what a person has, as it lies, into a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.dataset.clips import read_sources, show_clips
from pipelines.cli.dataset.versions import say_step
from pipelines.cli.options import JOB, HomeFolder, JobFile, datasets_of, job, open_home
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.data.catalog import Lineage
    from pipelines.data.dataset import DataSet, Manifest
    from pipelines.job.jobfile import Data

ModelName = Annotated[str | None, typer.Option("--name", help="The model.  [default: the job file's, or the folder's name]")]
_MOST_LINES = 12


@dataclass(frozen=True, slots=True)
class DataJob:
    """What making a data set needs to know: for which model, how, and how many classes at least."""

    model: str
    data: Data
    task: str | None

    @property
    def classes(self) -> int:
        """A classifier needs two to tell apart."""
        return 1 if self.task == "detect" else 2


def data_job(path: Path, source: Path | None, name: str | None) -> DataJob:
    """The job file's part; without a job file the defaults, and a model that is called as the folder that was named."""
    from pipelines.data.importing.open import model_name
    from pipelines.job.jobfile import Data
    from registry.refs import check_model_name

    if name is not None:
        check_model_name(name)
    if source is not None and path == JOB and not path.exists():
        return DataJob(name or model_name(source), Data(), None)
    the_job = job(path)
    return DataJob(name or the_job.model, the_job.data, the_job.task)


def import_(
    path: Annotated[Path, typer.Argument(metavar="DIR|ZIP", help="A folder as it lies, or a .zip or .tar.gz of one.")],
    *,
    name: ModelName = None,
    resplit: Annotated[bool, typer.Option("--resplit", help="Deal all images again, whatever split is there.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a file that would be left out.")] = False,
    group: Annotated[str | None, typer.Option(help="Regular expression: which images belong together.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to.  [default: HOME/datasets/MODEL]")] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Read class folders, splits, YOLO, COCO, Pascal VOC, Label Studio or Roboflow exports, clips, or a .zip from the page."""
    from pipelines.data.importing.open import left_out_of, notes_of, opened

    chosen = data_job(job_file, path, name)
    data = chosen.data.model_copy(update={"group": group} if group else {})
    datasets = datasets_of(open_home(home))
    folder = out or datasets.folder_of(chosen.model)
    before = datasets.lineage(folder, chosen.model)
    with opened(path, data, strict=strict) as source, bar() as progress:
        made = datasets.write(source, data.split, folder, progress, again=resplit, model=chosen.model)
        notes, left_out = [*notes_of(source)], [{"file": item.file, "why": item.why} for item in left_out_of(source)]
    if chosen.task and chosen.task != made.manifest.task:
        notes.append(f"{job_file} is for task '{chosen.task}', this data is for '{made.manifest.task}': change its task")
    if made.manifest.groups == "unknown":
        notes.append(
            "nothing says which images belong together (one person, one take); `--resplit --group PATTERN` deals by their names"
        )
    step = say_step(datasets, before, made, chosen.model)
    document = _document(made, chosen.model) | step.model_dump(mode="json", exclude={"text"})
    document |= {"notes": notes, "left_out": left_out, "moved": _moved(before, made.manifest)}
    document["sources"] = read_sources(made.folder)
    answer(document, as_json=as_json)
    if not as_json:
        _show(made, document)
        print(step.text)
        print(f"next: `modelyard check --data {step.name}`")


def _moved(before: Lineage, after: Manifest) -> list[dict[str, str]]:
    """Pictures that were in another split in the version before: a source's own split counts more."""
    splits = {row.sha256: row.split for version in before.versions[:1] for row in version.manifest.frames}
    rows = ((row, splits.get(row.sha256, row.split)) for row in after.frames)
    return [{"file": row.source or row.file, "from": old, "to": row.split} for row, old in rows if old != row.split]


def _document(made: DataSet, model: str) -> dict[str, Any]:
    """What was made, for programs."""
    from pipelines.data.dataset import SPLITS

    manifest = made.manifest
    rows = {split: made.rows(split) for split in SPLITS}
    boxes = {split: sum(len(row.boxes or ()) for row in rows[split]) for split in SPLITS}
    return {
        "data": str(made.folder),
        "digest": manifest.digest,
        "model": model,
        "format": manifest.format,
        "task": manifest.task,
        "labels": manifest.labels,
        "split_from": manifest.split_from,
        "groups": manifest.groups,
        "frames": {split: len(rows[split]) for split in SPLITS},
        "clips": {split: len({row.clip for row in rows[split]}) for split in SPLITS},
        "boxes": boxes if manifest.task == "detect" else None,
    }


def _show(made: DataSet, document: Mapping[str, Any]) -> None:
    """What was made, for people."""
    manifest, boxes = made.manifest, document["boxes"]
    columns = ["split", "clips" if manifest.source == "clips" else "groups", "images", *(["boxes"] if boxes else [])]
    counts = [document["clips"], document["frames"], *([boxes] if boxes else [])]
    rows = [(split, *(count[split] for count in counts)) for split in document["frames"]]
    how = "its own split was kept" if manifest.split_from == "source" else "dealt to three splits"
    show_clips(document["sources"])
    print(f"{manifest.format or manifest.source} to {manifest.task}: {len(manifest.labels)} classes; {how}")
    table(f"{document['model']}, version {manifest.version}", columns, rows)
    print(f"manifest: {made.folder / 'manifest.json'} (digest {manifest.digest[:12]})")
    for note in document["notes"]:
        say(f"note: {note}")
    show_left_out(document["left_out"])
    _list(
        "moved to another split, as the source has it" if manifest.split_from == "source" else "dealt again to another split",
        [f"{item['file']}: {item['from']} → {item['to']}" for item in document["moved"]],
    )


def show_left_out(items: Sequence[Mapping[str, Any]]) -> None:
    """The files that were not read, with their reasons, on standard error."""
    _list("left out", [f"{item['file']}: {item['why']}" for item in items])


def _list(what: str, lines: Sequence[str]) -> None:
    if lines:
        say(f"{what}: {len(lines):,}")
    for line in lines[:_MOST_LINES]:
        say(f"  {line}")
    if len(lines) > _MOST_LINES:
        say(f"  and {len(lines) - _MOST_LINES:,} more, see sources.json")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)
