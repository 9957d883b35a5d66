"""A home with every kind of state file, commands in this process over it, and what became of each file."""

from __future__ import annotations

import io
import shutil
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from PIL import Image

from pipelines.cli.app import run as run_command
from pipelines.data.catalog import DatasetCatalog
from pipelines.services.notifier import Outbox
from registry.address import UP
from registry.events import AnyEvent, CanaryStarted, Deployed, Flipped, HookDone, Promoted
from registry.files import write_json
from registry.measured import Exported
from registry.memory import MemoryStore
from registry.money.catalogue import published, write_catalogue
from registry.opening import ledger_of
from registry.records import Finding
from registry.runs.mirror import RunMirror
from registry.settings import Settings
from registry.signing import open_keyring, public_text
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parents[1]))
from red_dataset import make_dataset

NOWHERE = "http://127.0.0.1:9"
DATASET = "d0"
SMALL = 1_000_000
JOB = """
model: hand
data: {clips: clips}
train: [{kind: torch, arch: mobilenet_v3_small}]
deploy: {production: {kind: local}}
"""
Run = Callable[[Path, tuple[str, ...]], int]


def _decisions(home: Path, bundle: str, folder: Path) -> Iterator[AnyEvent]:
    """What the ledger says: `hand` is exported and deployed, `foot` and `arm` are canaries here and in a cloud."""
    rules = {"share": 0.5}
    finding = [Finding(gate="metric", passed=True, text="top1 0.95 is at least 0.9", figure=0.95, limit=0.9)]
    for model, target in (("hand", "local"), ("foot", "local"), ("arm", "runpod")):
        key = {"model": model, "version": 1, "created_ms": 1, "digest": "d" * 64}
        at = {**key, "stage": Stage.PRODUCTION}
        yield Promoted(**at, previous=None, actor="ada", findings=finding)
        yield Flipped(**at, previous=None, actor="ada")
        yield HookDone(**at, hook="tidy")
        if model == "hand":
            yield Exported(**key, bundle=bundle, path=str(folder), megabytes=1, parity=[], latency=None)
            where = {"target": target, "url": NOWHERE, "bundle": bundle, "price_as_of": "2026-11-01"}
            yield Deployed(**at, **where, usd_per_month=Decimal(0), smoke_images=0)
        else:
            yield CanaryStarted(**at, target=target, url=NOWHERE, bundle="b", against=1, rules=rules)


class NothingChanged:
    """A server of runs that knows of nothing new."""

    def changes(self, known: dict[str, str], token: str, *, whole: bool) -> None:
        """Nothing."""


def make_home(root: Path, make_bundle: Callable[..., object]) -> Path:
    """A home with each kind of file, as the commands leave it, and one picture."""
    home = root / "home"
    here = Settings(home=home, mlflow_uri=NOWHERE)
    folder = home / "bundles" / "hand" / "1-abc"
    bundle = make_bundle(folder).index.digest
    entry = ledger_of(here).append_all(list(_decisions(home, bundle, folder)))[0]
    note = next((home / "keys").glob("ledger-*.json"))
    note.rename(home / "keys" / "ledger-0.json")  # every note of a home counts, whatever it is called
    write_json(home / "evidence.json", entry.envelope)
    other = open_keyring(root / "other.pem", root / "none").own
    assert other is not None
    (home / "keys" / "trusted" / "other.pub").write_text(public_text(other.public_key()))
    (home / "keys" / "webhook.secret").write_text("5" * 64)
    write_catalogue(home / "prices.json", published())
    write_json(home / "notices" / "slack.json", Outbox(row=1).model_dump(mode="json"))
    (home / "notices" / "slack.lock").touch()
    (home / "leases").mkdir()
    write_json(home / UP, {"mlflow": NOWHERE, "pids": []})
    (home / "job.yaml").write_text(JOB)
    kept = DatasetCatalog(here.datasets).add(make_dataset(here.datasets / "hand", 1))
    kept.folder.rename(kept.folder.with_name(DATASET))  # a name that the tests know
    DatasetCatalog(here.datasets).note(kept.manifest.digest).rename(DatasetCatalog(here.datasets).note(DATASET))
    write_json(home / "underway" / "r1.json", {"dataset": DATASET})
    outage = {"kind": "runpod", "owner": "", "reason": "away", "failures": 1, "until": "2099-01-01T00:00:00Z"}
    write_json(home / "outages.json", [outage])
    live = {"name": "hand-production", "model": "hand", "version": 1, "bundle": bundle, "url": NOWHERE, "handle": "1"}
    for name in ("hand-production.json", "hand-production.before.json"):
        write_json(home / "deployments" / name, live | {"source": str(folder)})
    (home / "deployments" / "hand-production.log").write_text("it began\n")
    tally = {"bundle": "b"}
    canary = home / "deployments" / "canary"
    write_json(canary / "foot-production.json", {"url": NOWHERE, "bundle": "b", "share": 0.5, "tally": "-"})
    write_json(canary / "foot-production.tally.json", tally)
    write_json(home / "canaries" / "arm-production.tally.json", tally)
    RunMirror.for_home(Settings(home=home)).sync(NothingChanged())
    Image.new("RGB", (32, 32), "red").save(picture := io.BytesIO(), "PNG")
    (home / "picture.png").write_bytes(picture.getvalue())
    return home


def runner(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs commands in this process, with a registry in memory; their exit code, after what they said was looked at."""
    monkeypatch.setenv("MODELYARD_NOTIFY_SLACK", NOWHERE)
    monkeypatch.setenv("MODELYARD_RUNPOD_API_KEY", "key")
    monkeypatch.setenv("MODELYARD_RUNPOD_URL", NOWHERE)
    store = MemoryStore()
    store.register("hand", Path("/nowhere"))
    store.set_alias("hand", "production", 1)
    monkeypatch.setattr("pipelines.home.Home.store", lambda _: store)
    monkeypatch.setattr("psutil.process_iter", lambda *_: iter(()))  # what else runs on this machine is no matter here

    def run(home: Path, words: tuple[str, ...]) -> int:
        line = [word.replace("HOME", str(home)) for word in words]
        if words[:2] != ("verify", "--evidence"):
            line += ["--home", str(home)]
        with pytest.raises(SystemExit) as left:
            run_command(line)
        shown, code = capfd.readouterr().err, left.value.code
        assert code in {0, 1, 2}, shown
        assert "Traceback" not in shown
        assert shown.count("modelyard: ") in {0: {0}, 1: {0, 1}, 2: {1}}[int(code)], shown
        return int(code)

    return run


def copy_of(whole: Path, folder: Path) -> Path:
    """A home of one's own, at the path that its ledger names."""
    return Path(shutil.copytree(whole, folder / "home", symlinks=True))


def condition(home: Path, without: Path) -> Mapping[str, object]:
    """Every path of a home but one, and what is there. Lock files hold nothing; SQLite's own come and go."""
    passing = (".lock", "-wal", "-shm")
    paths = [path for path in home.rglob("*") if path != without and not path.name.endswith(passing)]
    return {str(path.relative_to(home)): _content(path) for path in paths}


def _content(path: Path) -> object:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return path.readlink()
    if not stat.S_ISREG(state.st_mode) or state.st_size > SMALL:
        return stat.S_IFMT(state.st_mode), state.st_ino if state.st_size > SMALL else 0
    return path.read_bytes()
