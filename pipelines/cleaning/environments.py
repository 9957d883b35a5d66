"""Built environments in the user's cache folder that no clone is linked to.

`make setup` notes each clone that it links to an environment, in `<environment>.clones`. One without such a note was built
before clones were noted, and counts as in use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from pipelines.cleaning.unused import Unused, unused
from registry.files import read_text
from registry.settings import Settings

_NAMES = ("torch-*", "tensorflow-*", "node-*", "peers-*")
_LINKS = (".venv-tf", ".venv-peers", "serving/browser/node_modules")


def cache_root() -> Path:
    """Where `make setup` builds environments."""
    if explicit := os.environ.get("MODELYARD_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def unused_environments(settings: Settings, is_young: Callable[[Path], bool]) -> Iterator[Unused]:
    """Those whose noted clones are gone or linked elsewhere, that we do not use, and in which no program runs.

    One for which `make setup` was run lately is about to be linked.
    """
    used = _used_now(settings)
    for folder in sorted(path for name in _NAMES for path in cache_root().glob(name) if path.is_dir()):
        note = folder.with_name(f"{folder.name}.clones")
        if not note.is_file() or is_young(note) or any(path.is_relative_to(folder.resolve()) for path in used):
            continue
        if not any(_is_linked(Path(clone), folder) for clone in _lines(note) if clone):
            yield unused("environments", folder, "no clone is linked to it")


def _lines(note: Path) -> list[str]:
    return read_text(note, "remove it if no clone uses the environment beside it").splitlines()


def _is_linked(clone: Path, folder: Path) -> bool:
    """Whether a clone's links, or its thin environment, lead to the folder."""
    targets = [(clone / name).resolve() for name in _LINKS if (clone / name).exists()]
    thin = clone / ".venv" / ".complete"
    return any(target.is_relative_to(folder.resolve()) for target in targets) or (
        thin.is_file() and str(folder) in thin.read_text().split()
    )


def _used_now(settings: Settings) -> set[Path]:
    """What this program, its settings and every program that we may look at run from."""
    paths = {Path(entry).resolve() for entry in (*sys.path, sys.prefix, sys.executable) if entry}
    paths |= {settings.tf_python.parent.resolve(), settings.tf_python.resolve(), settings.node_modules.resolve()}
    for process in psutil.process_iter(["exe", "cmdline", "cwd"]):
        words = [process.info["exe"], process.info["cwd"], *(process.info["cmdline"] or ())]
        paths |= {Path(word).resolve() for word in words if word and word.startswith("/")}
    return paths
