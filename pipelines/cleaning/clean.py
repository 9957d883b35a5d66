"""Finding what nothing refers to, kind by kind. Nothing is removed here; the rules are in doubt for keeping.

bundles        exports that no version's row counts on, whose version is gone, or that a killed export left
datasets       data sets kept by digest that no version was trained on or measured with; those under a model's name stay
trainings      runs that were broken off and not resumed for a week; for a month where MLflow was not told all of them
cache          decoded images and features that no training asked for in a week
environments   built environments of the cache folder that no clone is linked to (known since clones are noted)
logs           of endpoints that are gone, and of services while none runs
leftovers      temporary files and folders of killed processes, after a day
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.cleaning.environments import unused_environments
from pipelines.cleaning.references import References, read_references
from pipelines.cleaning.unused import KINDS, Kind, Unused, newest, remove, unused
from pipelines.data.catalog import DatasetCatalog
from registry.address import UP
from registry.errors import BusyError, NotFoundError
from registry.lease import locked_folder
from registry.protocols import Ledger, Versions
from registry.settings import Settings

_DAY_S = 24 * 3600.0
_WEEK, _MONTH = 7, 30
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}$")
_BUNDLE = re.compile(r"(\d+-[0-9a-f]+)(\.smoke)?$")


@dataclass(frozen=True)
class Cleaner:
    """Cleans a home. `store` is MLflow's registry where it can be asked; `now` is in seconds since 1970."""

    settings: Settings
    ledger: Ledger
    store: Versions | None
    now: Callable[[], float]

    def find(self, kinds: Sequence[Kind] = KINDS) -> list[Unused]:
        """What may be removed, largest first within its kind. Raises IntegrityError for a ledger that does not hold."""
        home = self.settings.home
        if not home.is_dir():
            raise NotFoundError(home, "there is no such home", "name it with --home")
        references = self._references() if {"bundles", "datasets"} & set(kinds) and any(self._kept()) else None
        finders: dict[Kind, Callable[[], Iterable[Unused]]] = {
            "bundles": lambda: self._bundles(references) if references else (),
            "datasets": lambda: self._datasets(references) if references else (),
            "trainings": self._trainings,
            "cache": self._cache,
            "environments": lambda: unused_environments(self.settings, self._is_young),
            "logs": self._logs,
            "leftovers": self._leftovers,
        }
        return [item for kind in KINDS if kind in kinds for item in sorted(finders[kind](), key=lambda item: -item.size)]

    def _references(self) -> References:
        self.ledger.verify()
        return read_references(self.settings, self.ledger.entries(), self.store)

    def remove(self, items: Sequence[Unused]) -> list[Unused]:
        """Remove what still nothing refers to: each is looked at again, for somebody may have come to need it meanwhile.

        Data sets once more right before each goes, under the lock of those who take them: removing takes minutes.
        """
        still = {item.path for item in self.find(sorted({item.kind for item in items}))}
        return [item for item in items if item.path in still and self._remove(item)]

    def _remove(self, item: Unused) -> bool:
        if item.kind != "datasets":
            remove(item)
            return True
        return self._catalog().remove(Path(item.path).name, lambda: self._is_free(Path(item.path)), lambda: remove(item))

    def _is_free(self, path: Path) -> bool:
        references = read_references(self.settings, self.ledger.entries(), self.store)
        return any(Path(free.path) == path for free in self._datasets(references, [path]))

    def _catalog(self) -> DatasetCatalog:
        return DatasetCatalog(self.settings.datasets)

    def _kept(self) -> Iterator[Path]:
        yield from self.settings.bundles.glob("*/*")
        yield from self._catalog().kept()

    def _bundles(self, references: References) -> Iterator[Unused]:
        for path in sorted(self.settings.bundles.glob("*/*")):
            match = _BUNDLE.match(path.name)
            if match and match[1] not in references.bundles and not self._is_young(path):
                yield unused("bundles", path, "no version's row counts on it")

    def _datasets(self, references: References, among: Sequence[Path] | None = None) -> Iterator[Unused]:
        catalog = self._catalog()
        if "" in references.datasets:  # a run of an older release trains, and does not say on what
            return
        for path in sorted(catalog.kept() if among is None else among):
            digest, owners = path.name, catalog.owners(path.name)
            if digest in references.datasets or self._is_young(catalog.note(digest)):
                continue
            if owners is None and digest not in references.trained:
                continue  # an older release noted it, and what it was registered for nobody knows
            if any(references.models is None or model in references.models for model in owners or ()):
                continue
            yield unused("datasets", path, "no version was trained on it or measured with it")

    def _trainings(self) -> Iterator[Unused]:
        """What is kept to resume a run with. One that is locked trains now."""
        for path in sorted(self.settings.trainings.glob("*")):
            waits = next((name for name in ("fitted", "spool.jsonl") if (path / name).exists()), None)
            days = _MONTH if waits else _WEEK
            if self.now() - newest(path) < days * _DAY_S or _is_locked(path):
                continue
            what = {"fitted": "its model was never registered", "spool.jsonl": "MLflow was never told all of it"}
            yield unused(
                "trainings", path, f"broken off, and not resumed for {days} days" + (f"; {what[waits]}" if waits else "")
            )

    def _cache(self) -> Iterator[Unused]:
        for path in sorted(self.settings.cache.glob("*")):
            if self.now() - newest(path) >= _WEEK * _DAY_S:
                yield unused("cache", path, "no training asked for it in a week")

    def _logs(self) -> Iterator[Unused]:
        deployments = self.settings.deployments
        for path in sorted(deployments.glob("*.log")):
            if not (deployments / f"{path.stem}.json").exists() and not self._is_young(path):
                yield unused("logs", path, "its endpoint is gone")
        if not (self.settings.home / UP).exists():
            for path in sorted((self.settings.home / "logs").glob("*")):
                if not self._is_young(path):
                    yield unused("logs", path, "no service runs")

    def _leftovers(self) -> Iterator[Unused]:
        """Siblings that a killed process left: `.NAME.xxxxxxxx`. The only copy of a folder that was being replaced stays."""
        home = self.settings.home
        for path in sorted({*home.glob(".*"), *home.glob("*/.*"), *home.glob("*/*/.*")}):
            match = _TEMPORARY.fullmatch(path.name)
            if not match or self._is_young(path) or (home / "artifacts") in path.parents:
                continue
            name = match["name"]
            if name.endswith(".old") and not path.with_name(name.removesuffix(".old")).exists():
                continue
            yield unused("leftovers", path, "a process that was killed left it")

    def _is_young(self, path: Path) -> bool:
        """Whether it was written within a day: somebody may be at work with it."""
        return self.now() - newest(path) < _DAY_S


def _is_locked(folder: Path) -> bool:
    """Whether a process holds a folder."""
    try:
        with locked_folder(folder, BusyError(folder, "is in use", "wait")):
            return False
    except (BusyError, OSError):
        return True
