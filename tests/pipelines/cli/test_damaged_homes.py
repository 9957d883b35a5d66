"""Every kind of state file, in every condition, under every command that reads it: one line, and nothing else is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.cli.main import main
from pipelines.services.notifier import Outbox
from registry.address import UP
from registry.events import Promoted
from registry.files import write_json
from registry.money.catalogue import published, write_catalogue
from registry.opening import ledger_of
from registry.records import Finding
from registry.runs.mirror import FILE, RunMirror
from registry.settings import Settings
from registry.signing import open_keyring, public_text
from registry.stages import Stage

NOWHERE = "http://127.0.0.1:9"
JOB = """
model: hand
data: {clips: clips}
train: [{kind: torch, arch: mobilenet_v3_small}]
deploy: {production: {kind: local}}
"""
READS: Mapping[str, tuple[str, ...]] = {
    "history": ("history", "hand"),
    "verify": ("ledger", "verify"),
    "key": ("ledger", "key"),
    "costs": ("costs",),
    "budget": ("budget", "show", "hand"),
    "prices": ("prices",),
    "notices": ("notify", "status"),
    "runs": ("runs",),
    "quote": ("endpoint", "quote", "--job", "HOME/job.yaml"),
    "evidence": ("verify", "--evidence", "HOME/evidence.json", "--public-key", "HOME/keys/trusted/other.pub"),
}
WRITES: Mapping[str, tuple[str, ...]] = {
    "override": ("budget", "override", "hand", "--reason", "because"),
    "send": ("notify", "send"),
}
"""What may change files of its own, and changes none where it exits with 2."""

LEDGER = ("history", "verify", "costs", "budget", "override", "send")
KINDS: Mapping[str, tuple[str, ...]] = {
    UP: ("runs",),
    "ledger.db": LEDGER,
    "ledger.db.lock": LEDGER,
    "keys/signing.pem": (*LEDGER, "key"),
    "keys/trusted/other.pub": (*LEDGER, "key", "evidence"),
    "keys/ledger.json": LEDGER,
    "keys/ledger.lock": LEDGER,
    "prices.json": ("prices", "costs", "quote"),
    "notices/slack.json": ("notices", "send"),
    "notices/slack.lock": ("notices", "send"),
    FILE: ("runs",),
    "job.yaml": ("quote",),
    "evidence.json": ("evidence",),
}


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


def _elsewhere(path: Path, whole: bytes) -> None:
    target = path.parents[len(path.parts) - 1 - path.parts.index("home")] / "elsewhere"
    target.write_bytes(whole)
    path.symlink_to(target)


DAMAGES: Mapping[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, _: path.write_bytes(b""),
    "cut": lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
    "garbage": lambda path, _: path.write_bytes(b"\x80\xff{[" * 50),
    "other shape": lambda path, _: path.write_bytes(b"[]"),
    "other fields": lambda path, _: path.write_bytes(b'{"a": 1}'),
    "nested": lambda path, _: path.write_bytes(b"[" * 50_000),
    "folder": lambda path, _: path.mkdir(),
    "pipe": lambda path, _: os.mkfifo(path),
    "device": lambda path, _: path.symlink_to("/dev/zero"),
    "circle": lambda path, _: path.symlink_to(path),
    "dangling link": lambda path, _: path.symlink_to(path.with_name("nowhere")),
    "huge": lambda path, _: _sparse(path),
    "gone": lambda _path, _whole: None,
    "link elsewhere": _elsewhere,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with each kind of file, as the commands leave it."""
    home = tmp_path_factory.mktemp("whole") / "home"
    here = Settings(home=home, mlflow_uri=NOWHERE)
    finding = [Finding(gate="metric", passed=True, text="top1 0.95 is at least 0.9", figure=0.95, limit=0.9)]
    key = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}
    entry = ledger_of(here).append(Promoted(**key, stage=Stage.STAGING, previous=None, actor="ada", findings=finding))
    note = next((home / "keys").glob("ledger-*.json"))
    note.rename(home / "keys" / "ledger-0.json")  # every note of a home counts, whatever it is called
    write_json(home / "evidence.json", entry.envelope)
    other = open_keyring(home.with_name("other.pem"), home / "none").own
    assert other is not None
    (home / "keys" / "trusted" / "other.pub").write_text(public_text(other.public_key()))
    write_catalogue(home / "prices.json", published())
    write_json(home / "notices" / "slack.json", Outbox(row=1).model_dump(mode="json"))
    (home / "notices" / "slack.lock").touch()
    write_json(home / UP, {"mlflow": NOWHERE, "pids": []})
    (home / "job.yaml").write_text(JOB)
    with RunMirror.for_home(here)._writing():
        pass
    return home


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[[Path, str], int]:
    """Runs a command in this process; its exit code, after what it said was looked at."""
    monkeypatch.setenv("MODELYARD_NOTIFY_SLACK", NOWHERE)
    monkeypatch.setenv("MODELYARD_LOCAL_USD_PER_HOUR", str(Decimal("0.05")))

    def run(home: Path, command: str) -> int:
        words = [word.replace("HOME", str(home)) for word in (READS | WRITES)[command]]
        if "--evidence" not in words:
            words += ["--home", str(home)]
        with pytest.raises(SystemExit) as left:
            main(words)
        said = capfd.readouterr().err
        assert left.value.code in {0, 1, 2}, said
        assert "Traceback" not in said
        assert said.count("modelyard: ") == (1 if left.value.code == 2 else 0), said
        return int(left.value.code)

    return run


def condition(home: Path, without: Path) -> dict[str, object]:
    """Every file of a home but one, and what is in it. Lock files hold nothing; SQLite's own come and go."""
    passing = (".lock", "-wal", "-shm")
    return {
        str(path.relative_to(home)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in home.rglob("*")
        if path != without and not path.name.endswith(passing)
    }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_line_or_healed_and_costs_no_other_file(
    whole: Path, tmp_path: Path, run: Callable[[Path, str], int], kind: str, damage: str
) -> None:
    for number, command in enumerate(KINDS[kind]):
        home = Path(shutil.copytree(whole, tmp_path / str(number) / "home"))
        path = home / kind.replace("ledger.json", "ledger-0.json")
        data = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        DAMAGES[damage](path, data)
        before = condition(home, path)
        code = run(home, command)
        after = condition(home, path)
        if command in READS or code == 2:
            changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
            assert {name for name in changed if not name.startswith(FILE)} == set(), command
        assert before.keys() <= after.keys()


def test_a_whole_home_is_read_by_each_of_these_commands(whole: Path, tmp_path: Path, run: Callable[[Path, str], int]) -> None:
    home = Path(shutil.copytree(whole, tmp_path / "home"))
    codes = {command: run(home, command) for command in READS | WRITES}
    assert codes.pop("evidence") == 2  # another key signed it
    assert set(codes.values()) == {0}
