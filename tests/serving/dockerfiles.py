"""Does what a Dockerfile says without an engine: below a folder, and with this machine's Python for the image's."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_KEPT = ("OPENBLAS", "PIP_", "SSL_", "LD_LIBRARY_PATH")
"""What of this machine's environment is this machine, and no setting of ours."""

_PIP = "24.0"
"""What the Python of the images brings. Older ones, such as 3.11.7's, cannot install a lock in which somebody wants an extra."""


def instructions(name: str) -> list[tuple[str, str]]:
    """A Dockerfile's instructions, in order; `name` is its path in the project."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())]


_SPARED = ("useradd ", "apt-get ")
"""What the last stage does to the image's system, and this machine is spared."""


class Image:
    """What a Dockerfile makes. Its paths `/opt/…`, `/tmp/…` and `/workspace` lie below `root`."""

    def __init__(self, name: str, root: Path, packages: Path | None = None, **arguments: str) -> None:
        """Build it: what is copied is copied, and what the first stage runs is run. `arguments` are --build-arg's.

        With `packages`, a folder where the lock is installed already, nothing is installed again: it is seen from there.
        """
        named = [rest.partition("=") for word, rest in instructions(name) if word == "ARG"]
        self.arguments = {key: arguments.get(key, default) for key, _, default in reversed(named)}
        self.root, self.env, self.entry, self.check, stage = root, dict[str, str](), list[str](), list[str](), 0
        self.folder = root / "tmp"
        self.folder.mkdir(parents=True)
        for word, rest in instructions(name):
            if word == "FROM":
                stage += 1
            elif word == "COPY":
                self._copy(rest)
            elif word == "RUN" and stage == 1:
                self._run(rest, packages)
            elif word == "RUN":
                assert rest.startswith(_SPARED), rest
            elif word == "ENV":
                text = self.here(rest).replace("$PATH", self._machine()["PATH"])
                self.env |= dict(pair.split("=", 1) for pair in shlex.split(text))
            elif word == "WORKDIR":
                self.folder = Path(self.here(rest))
                self.folder.mkdir(parents=True, exist_ok=True)
            elif word == "ENTRYPOINT":
                self.entry = json.loads(self.here(rest))
            elif word == "HEALTHCHECK":
                self.check = json.loads(self.here(rest[rest.index("CMD ") + 4 :]))
            else:
                assert word in {"ARG", "USER", "EXPOSE"}, word

    def here(self, text: str) -> str:
        """A text whose paths in the image are those on this machine."""
        return re.sub(r"(?<![\w./])/(opt|tmp|workspace)\b", rf"{self.root}/\1", text)

    def command(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """How its process is started, as `subprocess` wants it."""
        return {"args": [*self.entry, *arguments], "env": self._machine() | self.env | environment, "cwd": self.folder}

    def python(self, *arguments: str) -> str:
        """What its Python prints."""
        run = self.command() | {"args": [self.entry[0], *arguments]}
        return subprocess.run(**run, capture_output=True, text=True, check=True).stdout

    def healthy(self, **environment: str) -> bool:
        """What its health check says."""
        return subprocess.run(**(self.command(**environment) | {"args": self.check}), check=False).returncode == 0

    def _copy(self, rest: str) -> None:
        for name, value in self.arguments.items():
            rest = rest.replace(f"${{{name}}}", value)
        source, into = (word for word in rest.split() if not word.startswith("--"))
        if rest.startswith("--from="):
            assert source == into  # between stages, which share the folder here
            return
        target = Path(self.here(into))
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)

    def _run(self, rest: str, packages: Path | None) -> None:
        """A line of the first stage; where the packages are seen from elsewhere, that is all it does."""
        if packages is not None:
            self._see(packages)
            return
        with_pip = re.sub(r"python -m venv (\S+)", rf"\g<0> && \1/bin/pip install pip=={_PIP}", self.here(rest))
        subprocess.run(["bash", "-euc", with_pip], env=self._machine(), cwd=self.root, check=True)

    def _see(self, packages: Path) -> None:
        venv = self.root / "opt" / "modelyard"
        subprocess.run([f"{sys.base_prefix}/bin/python3", "-m", "venv", "--without-pip", venv], env=self._machine(), check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        (site / "packages.pth").write_text(f"{packages}\n")

    def _machine(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
        path = f"{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        return kept | {"PATH": path, "HOME": str(self.root / "tmp"), "TMPDIR": str(self.root / "tmp"), "LANG": "C.UTF-8"}
