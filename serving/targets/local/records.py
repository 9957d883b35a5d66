"""What a folder of endpoints on this machine says of them: one record decides which process a name points to.

    <folder>/<name>.json          the live endpoint; replaced in one step when traffic switches
    <folder>/<name>.before.json   the endpoint before, for a rollback
    <folder>/<name>.log           the process's log; <name>.before.log is that of the process before

A process that no record names was never live, or is no longer. A record that cannot be used names nothing: it is replaced
by the next deployment, and whatever lies there is kept under another name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from registry.errors import InputError, IntegrityError
from registry.files import read_json, set_aside, write_json
from serving.targets.contract import LiveEndpoint
from serving.targets.local.process import HOST

_BESIDE = (".before", ".candidate")
"""Endings of what lies beside a live record; `.candidate` is an older release's, and says nothing any more."""
_URL = re.compile(rf"http://{re.escape(HOST)}:\d{{1,5}}")


@dataclass(frozen=True)
class Records:
    """The records of one folder."""

    folder: Path

    def live(self, name: str) -> LiveEndpoint | None:
        """The endpoint of a name, None where there is none. Raises IntegrityError for a record that cannot be used."""
        return self._read(self._path(name), name)

    def before(self, name: str) -> LiveEndpoint | None:
        """The endpoint before. Raises IntegrityError for a record that cannot be used."""
        return self._read(self._path(f"{name}.before"), name)

    def commit(self, live: LiveEndpoint, old: LiveEndpoint | None) -> None:
        """Point the name to an endpoint, in one step. What served another bundle before is kept for a rollback."""
        if old is not None and old.bundle != live.bundle:  # an endpoint that only came back is not its own predecessor
            self._write(self._path(f"{live.name}.before"), old)
        self._write(self._path(live.name), live)

    def names(self) -> list[str]:
        """Every name that has a live record, usable or not, sorted."""
        stems = {path.name.removesuffix(".json") for path in self.folder.glob("*.json")}
        return sorted(stem for stem in stems if stem and not stem.startswith(".") and not stem.endswith(_BESIDE))

    def forget(self, name: str) -> None:
        """Remove a name's records."""
        for stem in (name, *(name + ending for ending in _BESIDE)):
            path = self._path(stem)
            if path.is_dir() and not path.is_symlink():
                set_aside(path, "unusable")
            else:
                path.unlink(missing_ok=True)

    def log(self, name: str) -> Path:
        """Where the output of the process that was started last goes."""
        return self.folder / f"{name}.log"

    def order(self, name: str) -> Path:
        """Where the order to split a name's traffic lies, absolute: its processes are known by it."""
        return (self.folder / "canary" / f"{name}.json").absolute()

    def tally(self, name: str) -> Path:
        """Where a name's process counts while its traffic is split."""
        return (self.folder / "canary" / f"{name}.tally.json").absolute()

    def _path(self, stem: str) -> Path:
        return self.folder / f"{stem}.json"

    def _write(self, path: Path, live: LiveEndpoint) -> None:
        if path.is_dir() and not path.is_symlink():  # a file cannot take a folder's name
            set_aside(path, "unusable")
        write_json(path, live.model_dump(mode="json"))

    def _read(self, path: Path, name: str) -> LiveEndpoint | None:
        try:
            live = LiveEndpoint.model_validate(read_json(path))
            sound = live.name == name and live.handle.isdigit() and _URL.fullmatch(live.url)
        except FileNotFoundError:
            if not path.is_symlink():
                return None
            sound, live = False, None  # a link to nothing
        except (IntegrityError, OSError, ValueError):  # not JSON, another shape, a folder, or not ours to read
            sound, live = False, None
        if not sound or live is None:
            raise IntegrityError(path, "is not the record of an endpoint", "run `modelyard reconcile`, which deploys again")
        return live


def check_endpoint_name(name: str) -> None:
    """Raise InputError for a name that cannot be a file's, or would be that of another endpoint's record."""
    if not name or name.startswith(".") or "/" in name or "\0" in name or name.endswith(_BESIDE):
        raise InputError(f"endpoint {name!r}", "cannot be the name of an endpoint here", "name it as its model and stage")
