"""Every command that only reads, taken from the command line itself: it makes no home and changes nothing in one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer.main

from pipelines.cli.app import app
from pipelines.cli.app import run as run_command
from registry.runs.mirror import FILE

sys.path.insert(0, str(Path(__file__).parent))
from home_world import Run, condition, copy_of

READS: Mapping[str, tuple[str, ...]] = {
    "history": ("hand",),
    "verify": ("hand/1", "--files", "HOME/bundles"),
    "diff": ("hand/1", "hand/1"),
    "predict": ("hand/1", "HOME/picture.png"),
    "score": ("HOME/picture.png", "--model", "hand/1", "--out", "OUT/answers.csv"),
    "live": ("hand/1", "--source", "HOME/picture.png", "--json"),
    "status": (),
    "costs": (),
    "prices": (),
    "forecast": ("--service-ms", "20"),
    "runs": (),
    "clean": (),
    "data list": (),
    "data diff": ("hand", "hand@1"),
    "data show": ("--name", "hand", "--out", "OUT/sheet.png"),
    "data leaks": ("--data", "HOME/datasets/hand"),
    "gates": ("hand/1", "production"),
    "policy show": ("hand",),
    "policy diff": ("hand", "--job", "HOME/job.yaml"),
    "ledger verify": (),
    "ledger key": (),
    "budget show": ("hand",),
    "notify status": (),
    "endpoint quote": ("--job", "HOME/job.yaml"),
    "endpoint plan": ("--job", "HOME/job.yaml"),
    "endpoint check": ("--job", "HOME/job.yaml"),
    "endpoint status": ("hand@production",),
    "endpoint logs": ("hand@production",),
    "canary status": ("foot@production",),
    "report": ("OUT/report.json",),
    "space": ("hand/1", "--to", "OUT/space"),
    "data review": ("--data", "HOME/datasets/hand"),
}
SERVES = {"dashboard", "serve", "canary front", "web"}
"""They read a home too, and refuse one that is misspelt; what they do while they run is another matter."""
HOMELESS = {"init", "schema", "capture", "images"}
WRITES = {
    *("frames", "check", "train", "register", "evaluate", "export", "parity", "promote", "deploy", "reconcile"),
    *("approve", "rollback", "up", "collect", "demo", "policy set", "policy approve", "ledger begin", "budget override"),
    *("curve", "budget person"),
    *("import", "data label-errors", "data propose", "data apply-review"),
    *("bills import", "bills fetch", "notify test", "notify send", "clouds fake", "canary end"),
}
SEPARATE = {"report", "space"}
"""Left out over a whole home: one starts another process for seconds, the other needs a web runtime beside the package."""
DERIVED = (FILE,)
"""The copy of MLflow's runs, which any look at them brings up to date: nothing in it is known from here alone."""


def _commands(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    groups: Mapping[str, object] = getattr(command, "commands", {})
    if not groups:
        yield " ".join(path)
    for name, inner in groups.items():
        yield from _commands(inner, (*path, name))


def test_every_command_is_known_as_one_that_reads_or_one_that_writes() -> None:
    kinds = (set(READS), SERVES, HOMELESS, WRITES)
    assert set(_commands(typer.main.get_command(app))) == set().union(*kinds)
    assert sum(map(len, kinds)) == len(set().union(*kinds))


def _words(command: str, home: Path, out: Path) -> list[str]:
    served = {
        "dashboard": ("--port", "0"),
        "serve": ("hand/1",),
        "web": ("hand/1",),
        "canary front": ("arm@production", "--port", "0"),
    }
    given = (READS | served)[command]
    return [*command.split(), *(word.replace("HOME", str(home)).replace("OUT", str(out)) for word in given)]


@pytest.mark.parametrize("command", [*READS, *sorted(SERVES)])
def test_a_home_that_is_misspelt_is_one_line_and_is_not_made(
    tmp_path: Path, whole: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    missing = tmp_path / "misspelt"
    with pytest.raises(SystemExit) as left:
        run_command([*_words(command, whole, tmp_path), "--home", str(missing)])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("modelyard: ")]
    assert (left.value.code, len(lines)) == (2, 1)
    assert str(missing) in lines[0]
    assert "--home" in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(READS.keys() - SEPARATE))
def test_the_default_home_is_not_made_by_reading(
    tmp_path: Path, whole: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELYARD_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit) as left:
        run_command(_words(command, whole, tmp_path))
    assert left.value.code in {0, 1, 2}, capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", sorted(READS.keys() - SEPARATE))
def test_nothing_in_a_home_is_changed_by_reading(whole: Path, tmp_path: Path, run: Run, command: str) -> None:
    home = copy_of(whole, tmp_path)
    before = condition(home, home / "none")
    run(home, tuple(_words(command, home, tmp_path)))
    after = condition(home, home / "none")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.startswith(DERIVED)} == set()
