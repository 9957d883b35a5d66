"""A process that promotes and is killed at its n-th step, for real. Run as a script: FOLDER ACTION N."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from itertools import count
from pathlib import Path

from registry.errors import ModelyardError
from registry.events import Promoted
from registry.lease import FileLeases
from registry.ledger.store import open_ledger
from registry.memory import MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote, rollback
from registry.records import Actor, Evidence, Finding, ModelVersion
from registry.refs import Ref
from registry.signing import open_keyring
from registry.stages import Stage

WRITES = ("set_alias", "delete_alias", "annotate")


class FileStore(MemoryStore):
    """A registry that outlives its process: every write goes to a file, and what is there is read first."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        if path.exists():
            content = json.loads(path.read_text())
            self._models = {name: [ModelVersion(**fields) for fields in mine] for name, mine in content["models"].items()}
            self._aliases = content["aliases"]

    def save(self) -> None:
        models = {
            name: [asdict(version) | {"tags": dict(version.tags)} for version in mine] for name, mine in self._models.items()
        }
        self._path.write_text(json.dumps({"models": models, "aliases": self._aliases}))


class Notes:
    """A gate that lets everything pass, and a hook that notes each version it ran for."""

    name = "notes"

    def __init__(self, path: Path) -> None:
        self.path = path

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="notes", passed=True, text="fine")]

    def run(self, promotion: Promoted) -> None:
        self.path.write_text(f"{promotion.version} {promotion.stage}")


def make_context(folder: Path) -> PromotionContext:
    store = FileStore(folder / "store.json")
    keys = open_keyring(folder / "key.pem", folder / "trusted")
    ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}", keys, folder)
    notes = Notes(folder / "served")
    stages = (Stage.STAGING, Stage.PRODUCTION)
    return PromotionContext(
        store, ledger, FileLeases(folder / "leases"), dict.fromkeys(stages, (notes,)), dict.fromkeys(stages, (notes,))
    )


def die_at(context: PromotionContext, step: int) -> None:
    """Kill this process, without a word, before or after one of its writes: two steps each."""
    steps = count(1)

    def wrap(holder: object, name: str) -> None:
        original = getattr(holder, name)

        def writing(*args: object) -> object:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args)
            if name in WRITES:
                context.store.save()
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(holder, name, writing)

    for name in WRITES:
        wrap(context.store, name)
    wrap(context.ledger, "append_all")
    wrap(context.hooks[Stage.PRODUCTION][0], "run")


ACTIONS = {
    "promote": lambda context: promote(context, Ref("hand", 2), Stage.PRODUCTION, Actor("ada")),
    "rollback": lambda context: rollback(context, "hand", Stage.PRODUCTION, None, Actor("ada")),
    "archive": lambda context: promote(context, Ref("hand", 2), Stage.ARCHIVED, Actor("ada")),
}

if __name__ == "__main__":
    where, action, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    mine = make_context(where)
    die_at(mine, number)
    try:
        ACTIONS[action](mine)
    except ModelyardError as error:
        sys.exit(str(error))
