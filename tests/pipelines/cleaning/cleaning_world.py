"""A home made at random, that knows what of it cleaning has to leave and what not."""

from __future__ import annotations

import os
import random
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.cleaning.clean import Cleaner
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from registry.events import Deployed, Exported, Flipped, Promoted, Trained, about
from registry.files import write_json
from registry.memory import MemoryLedger, MemoryStore
from registry.settings import Settings
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parents[1]))
from red_dataset import make_dataset

DAYS = 10 * 24 * 3600.0


def later() -> float:
    """Everything that a test makes is ten days old by then."""
    return time.time() + DAYS


class World:
    """A home in which things happen at random; `stays` and `goes` say what cleaning has to do with each path."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random, self.settings = random.Random(seed), Settings(home=folder / "home")  # noqa: S311 no secret
        self.ledger, self.store = MemoryLedger(), MemoryStore()
        self.catalog = DatasetCatalog(self.settings.datasets)
        self.stays, self.goes = set[Path](), set[Path]()
        self.made = list[tuple[Trained, list[Path], set[Path], set[Path]]]()
        self.datasets = [self._dataset(number) for number in range(self.random.randint(1, 5))]
        (folder / "weights").mkdir()
        for number in range(self.random.randint(1, 5)):
            self._version(folder / "weights", f"model{number % 2}", self.random.choice(self.datasets), number)
        self._fates()
        needed = {row.event.dataset for row in self.ledger.entries() if row.event.kind == "trained"} - self.gone_with
        for data in self.datasets:
            digest = data.manifest.digest
            kept, fate = self.settings.datasets / "by-digest" / digest, self.random.choice(["", "registered", "trains now"])
            if fate == "registered":
                self.catalog.add(data, registered="model0")
            elif fate:
                write_json(self.settings.underway / f"{digest}.json", {"dataset": digest})
            alive = fate == "trains now" or (fate == "registered" and bool(self.existing.get("model0")))
            (self.stays if alive or digest in needed else self.goes).add(kept)
        self._leftovers()
        self._trainings()
        self._cache()

    @property
    def gone_with(self) -> set[str]:
        """Data sets of which every version is gone."""
        alive = {version.dataset for version in self._trained if self._alive(version)}
        return {version.dataset for version in self._trained} - alive

    @property
    def _trained(self) -> list[Trained]:
        return [row.event for row in self.ledger.entries() if isinstance(row.event, Trained)]

    def _alive(self, event: Trained) -> bool:
        flips = [row.event for row in self.ledger.entries(event.model) if isinstance(row.event, Flipped)]
        return bool(flips and flips[-1].identity == event.identity) or event.identity in self.existing[event.model]

    existing: dict[str, set[tuple[int, int]]]

    def _dataset(self, number: int) -> DataSet:
        return self.catalog.add(make_dataset(self.settings.datasets / "hand", number))

    def _version(self, weights: Path, model: str, data: DataSet, number: int) -> None:
        version = self.store.register(model, weights)
        fields: dict[str, Any] = about(version, "0" * 64)
        paid = {"seconds": 1, "hardware": "here", "usd": Decimal(1), "price_as_of": "2026-11-01"}
        self.ledger.append(Trained(**fields, trainer="torch", run_id=f"r{number}", dataset=data.manifest.digest, **paid))
        self.existing = {name: {(v.version, v.created_ms) for v in self.store.versions(name)} for name in self.store.models()}
        bundles = [self._bundle(model, version.version, fields) for _ in range(self.random.randint(0, 3))]
        promoted, deleted = self.random.random() < 0.3, self.random.random() < 0.4
        if promoted:
            common = {"stage": Stage.STAGING, "previous": None, "actor": "ada"}
            self.ledger.append(Promoted(**fields, **common, findings=[]))
            self.ledger.append(Flipped(**fields, **common))
        used = set(bundles[-1:])
        if bundles and self.random.random() < 0.3:
            chosen = self.random.choice(bundles)
            used.add(chosen)
            self._deployed(fields, chosen)
        if deleted:
            self.store._models[model].remove(version)
            self.existing[model].discard((version.version, version.created_ms))
        served = set[Path]()
        if bundles and self.random.random() < 0.3:
            served.add(self.random.choice(bundles))
            record = self.settings.deployments / f"e{number}{self.random.choice(['', '.before'])}.json"
            write_json(record, {"source": str(*served)})
        self.made.append((self._trained[-1], bundles, used, served))

    def _fates(self) -> None:
        """Once all has happened: a version that was promoted may have given its stage to a later one."""
        for event, bundles, used, served in self.made:
            for bundle in bundles:
                fate = self.stays if bundle in served or (bundle in used and self._alive(event)) else self.goes
                fate |= {bundle, bundle.with_name(f"{bundle.name}.smoke")}

    def _bundle(self, model: str, number: int, fields: dict[str, Any]) -> Path:
        digest = f"{self.random.getrandbits(256):064x}"
        folder = self.settings.bundles / model / f"{number}-{digest[:12]}"
        for path in (folder, folder.with_name(f"{folder.name}.smoke")):
            path.mkdir(parents=True)
            (path / "model.onnx").write_bytes(b"network")
        self.ledger.append(Exported(**fields, bundle=digest, path=str(folder), megabytes=1, parity=[], latency=None))
        return folder

    def _deployed(self, fields: dict[str, Any], bundle: Path) -> None:
        digest = next(row.event.bundle for row in self.ledger.entries() if getattr(row.event, "path", "") == str(bundle))
        money = {"usd_per_month": Decimal(1), "price_as_of": "2026-11-01", "smoke_images": 1}
        self.ledger.append(Deployed(**fields, stage=Stage.STAGING, target="local", url="http://x", bundle=digest, **money))

    def _trainings(self) -> None:
        """Runs that were broken off ten days ago; what only they have is kept for longer."""
        for name, waits in (("gone", None), ("unregistered", "fitted"), ("untold", "spool.jsonl")):
            folder = self.settings.trainings / name
            write_json(folder / "training.json", {"dataset": "none", "run_id": name})
            if waits:
                (folder / waits).write_text("waits")
            (self.stays if waits else self.goes).add(folder)

    def _cache(self) -> None:
        """Arrays made ten days ago, of which one was asked for two days ago; and what a killed training had half written."""
        self.settings.cache.mkdir()
        for name, used in (("old.npy", False), ("old.4711", False), ("used.npy", True)):
            path = self.settings.cache / name
            path.write_bytes(b"array")
            if used:
                os.utime(path, (later() - 2 * DAYS / 10,) * 2)
            (self.stays if used else self.goes).add(path)

    def _leftovers(self) -> None:
        home = self.settings.home
        for path in (home / "datasets" / ".hand.abcd1234", home / "bundles" / "model0" / ".3.0_abcdef"):
            path.mkdir(parents=True, exist_ok=True)
            (path / "part").write_text("half")
            self.goes.add(path)
        for name in ("hand", "gone"):
            only = home / "datasets" / f".{name}.old.abcd1234"
            (only / "old").mkdir(parents=True)
            (self.goes if name == "hand" else self.stays).add(only)
        for name in (".gitignore", ".hand", "hand"):
            (home / "datasets" / name).mkdir(exist_ok=True)
            self.stays.add(home / "datasets" / name)

    def cleaner(self, store: MemoryStore | None) -> Cleaner:
        return Cleaner(self.settings, self.ledger, store, later)
