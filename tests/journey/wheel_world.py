"""A fresh environment with the wheel in it, and of the locked packages only those that some of its extras bring."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXTRAS = ("torch", "yolo", "dashboards", "huggingface", "openvino", "postgresql", "auth", "runpod", "labels")
"""Those that the lock has; `ray` and TensorFlow's are not in this interpreter."""


def clean_environment() -> dict[str, str]:
    """This process's environment without settings, and without what would lead Python to the source tree."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "MLFLOW_", "PYTHON"))}


def build_wheel(folder: Path) -> Path:
    """The wheel of this source tree, as `python -m build` makes it."""
    code = f"from hatchling.build import build_wheel; build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


class WheelWorld:
    """One virtual environment. `see` chooses which packages of the lock are installed, as far as it can tell."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        base = Path(sys.base_prefix) / "bin" / "python3"
        subprocess.run([base, "-m", "venv", folder], check=True, capture_output=True)
        self.folder, self.python, self.installed = folder, folder / "bin" / "python", _locked()
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", wheel]
        subprocess.run([self.python, *install], check=True, capture_output=True)
        self._packages = next((folder / "lib").glob("python*/site-packages"))

    def see(self, extras: Iterable[str]) -> None:
        """Make the core's packages and these extras' visible, and no others: a folder of links on the path."""
        names = self._closure(extras)
        # Streamlit takes a path without `site-packages` for its own developers'.
        farm = self.folder / "farms" / ("core-" + "-".join(sorted(extras))) / "site-packages"
        if not farm.exists():
            farm.mkdir(parents=True)
            for name in names & set(self.installed):
                for entry, source in _top_level(self.installed[name]):
                    if not (farm / entry).exists():
                        (farm / entry).symlink_to(source)
        (self._packages / "locked.pth").write_text(f"{farm}\n")

    def run(self, *arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        """The installed command."""
        command = [str(self.folder / "bin" / "modelyard"), *map(str, arguments)]
        fixed = {"env": clean_environment(), "capture_output": True, "text": True, "check": False, "timeout": 300}
        return subprocess.run(command, **(fixed | options))  # type: ignore[call-overload]

    def _closure(self, extras: Iterable[str]) -> set[str]:
        """Names of the packages that the wheel with these extras needs, by the packages' own metadata."""
        (ours,) = distributions(name="modelyard", path=[str(self._packages)])
        todo, seen = [(ours, frozenset(extras))], set[tuple[str, frozenset[str]]]()
        names = set[str]()
        while todo:
            package, wanted = todo.pop()
            for line in package.requires or []:
                needed = Requirement(line)
                if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in (wanted or {""})):
                    continue
                key = (canonicalize_name(needed.name), frozenset(needed.extras))
                if key not in seen and key[0] in self.installed:
                    seen.add(key)
                    names.add(key[0])
                    todo.append((self.installed[key[0]], key[1]))
        return names


def _locked() -> dict[str, Distribution]:
    """The packages that this interpreter sees, without ours."""
    everything = {canonicalize_name(package.metadata["Name"]): package for package in distributions()}
    return {name: package for name, package in everything.items() if name != "modelyard"}


def _top_level(package: Distribution) -> Iterator[tuple[str, Path]]:
    """A package's entries below its site-packages."""
    for file in package.files or []:
        first = file.parts[0]
        if first not in {"..", "__pycache__"} and not first.endswith(".pth"):
            yield first, Path(str(package.locate_file(first)))
