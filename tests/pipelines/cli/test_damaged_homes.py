"""Every kind of state file, in every condition, under every command that reads it: one line, and nothing else is lost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines.services.webhook import secret_of
from pipelines.training.interrupted import book_interrupted
from registry.address import UP
from registry.errors import ModelyardError
from registry.opening import ledger_of
from registry.runs.mirror import FILE
from registry.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from home_world import DATASET, Run, condition, copy_of

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
    "status": ("status",),
    "clean": ("clean", "--dry-run"),
    "endpoint": ("endpoint", "status", "hand@production"),
    "logs": ("endpoint", "logs", "hand@production"),
    "bundle": ("predict", "hand/1", "HOME/picture.png"),
    "live": ("predict", "hand@production", "HOME/picture.png"),
    "canary": ("canary", "status", "foot@production"),
    "cloud canary": ("canary", "status", "arm@production"),
}
WRITES: Mapping[str, tuple[str, ...]] = {
    "policy": ("policy", "set", "--job", "HOME/job.yaml"),
    "send": ("notify", "send"),
}
"""What may change files of its own, and changes none where it exits with 2."""
CALLS: Mapping[str, Callable[[Settings], object]] = {
    "secret": secret_of,
    "book": lambda here: book_interrupted(here.underway, ledger_of(here)),
}
"""What services do at their start. They change nothing but the file that is damaged."""

LEDGER = ("history", "verify", "costs", "budget", "status", "policy", "send")
RECORD = ("endpoint", "live", "status", "clean")
BY_DIGEST = f"datasets/by-digest/{DATASET}"
KINDS: Mapping[str, tuple[str, ...]] = {
    UP: ("runs",),
    "ledger.db": (*LEDGER, "clean"),
    "ledger.db.lock": LEDGER,
    "keys/signing.pem": (*LEDGER, "key"),
    "keys/trusted/other.pub": (*LEDGER, "key", "evidence"),
    "keys/ledger-0.json": (*LEDGER, "clean"),
    "keys/ledger.lock": LEDGER,
    "keys/webhook.secret": ("secret",),
    "prices.json": ("prices", "costs", "quote"),
    "notices/slack.json": ("notices", "send"),
    "notices/slack.lock": ("notices", "send"),
    FILE: ("runs",),
    "job.yaml": ("quote", "policy"),
    "evidence.json": ("evidence",),
    "outages.json": ("status",),
    "underway/r1.json": ("clean", "book", "costs"),
    f"{BY_DIGEST}.json": ("clean",),
    f"{BY_DIGEST}/manifest.json": ("clean",),
    "datasets/hand/manifest.json": ("clean",),
    "bundles/hand/1-abc/bundle.json": ("bundle", "clean"),
    "bundles/hand/1-abc/labels.json": ("bundle",),
    "bundles/hand/1-abc/preprocess.json": ("bundle",),
    "deployments/hand-production.json": RECORD,
    "deployments/hand-production.before.json": RECORD,
    "deployments/hand-production.log": ("logs",),
    "deployments/canary/foot-production.json": ("canary", "status", "clean"),
    "deployments/canary/foot-production.tally.json": ("canary",),
    "canaries/arm-production.tally.json": ("cloud canary",),
}
SECONDS = 10
"""Within which a command ends, on a machine that is busy with other things."""


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


def _elsewhere(path: Path, whole: bytes) -> None:
    home = next(parent for parent in path.parents if parent.name == "home")
    target = home.with_name("elsewhere")
    target.write_bytes(whole)
    path.symlink_to(target)


DAMAGES: Mapping[str, Callable[[Path, bytes], object]] = {
    "empty": lambda path, _: path.write_bytes(b""),
    "cut": lambda path, whole: path.write_bytes(whole[: len(whole) // 2]),
    "not UTF-8": lambda path, _: path.write_bytes(b"\x80\xff{[" * 50),
    "a list": lambda path, _: path.write_bytes(b"[]"),
    "a number": lambda path, _: path.write_bytes(b"7"),
    "other fields": lambda path, _: path.write_bytes(b'{"a": 1, "files": {"b": []}, "source": {}, "row": "x"}'),
    "nested": lambda path, _: path.write_bytes(b"[" * 50_000),
    "a folder": lambda path, _: path.mkdir(),
    "a pipe": lambda path, _: os.mkfifo(path),
    "a device": lambda path, _: path.symlink_to("/dev/zero"),
    "unreadable": lambda path, _: path.symlink_to("/proc/self/mem" if path.suffix != ".db" else "/proc/none"),
    "a circle": lambda path, _: path.symlink_to(path),
    "a dangling link": lambda path, _: path.symlink_to(path.with_name("nowhere")),
    "huge": lambda path, _: _sparse(path),
    "gone": lambda _path, _whole: None,
    "a link elsewhere": _elsewhere,
}
"""`unreadable`: reading a file's first bytes fails with an error of the disk, for root too."""


def _do(command: str, home: Path, run: Run) -> int:
    if command not in CALLS:
        return run(home, (READS | WRITES)[command])
    try:
        CALLS[command](Settings(home=home))
    except ModelyardError as error:
        return 3 if "\n" in str(error) else error.exit_code
    return 0


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_one_line_or_healed_and_costs_no_other_file(
    whole: Path, tmp_path: Path, run: Run, kind: str, damage: str
) -> None:
    for number, command in enumerate(KINDS[kind]):
        home = copy_of(whole, tmp_path / str(number))
        path = home / kind
        content = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        DAMAGES[damage](path, content)
        before, began = condition(home, path), time.monotonic()
        code = _do(command, home, run)
        assert time.monotonic() - began < SECONDS, command
        after = condition(home, path)
        assert code in {0, 1, 2}
        assert before.keys() <= after.keys(), command
        if command not in WRITES or code == 2:
            changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
            assert {name for name in changed if not name.startswith(FILE)} == set(), command


def test_a_whole_home_is_read_by_each_of_these_commands(whole: Path, tmp_path: Path, run: Run) -> None:
    codes = {command: _do(command, copy_of(whole, tmp_path / command), run) for command in READS | WRITES | CALLS}
    assert {command: code for command, code in codes.items() if code} == {"evidence": 2}  # another key signed it


def test_the_matrix_has_every_file_and_says_its_size() -> None:
    assert len(KINDS) * len(DAMAGES) == 448
    assert sum(map(len, KINDS.values())) * len(DAMAGES) == 1360
    assert {command for commands in KINDS.values() for command in commands} == set(READS | WRITES | CALLS)
