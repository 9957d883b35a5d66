"""Run a command with the files that it starts again and again held in memory.

    python3 tools/pin.py COMMAND...

The tests start hundreds of processes, each of which maps the same large libraries and reads the same thousands of compiled
modules. Some machines take pages back that nobody used for a minute, however much memory is free; then each start waits for
the disk, and a run of the tests takes half as long again. So these pages are locked while the command runs, by a process
beside it. Where that is not allowed, or memory is short, the command runs as it would.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LEFT = 12e9
"""Bytes that stay available for the tests themselves."""
_LARGE = 1_000_000
_MOST_FILES = 50_000
"""The kernel allows 65,530 mappings for a process."""
_UNUSED = ("nvidia", "triton", "libtorch_cuda", "libtorch_hip", "libcu", "libnv")
"""CUDA's libraries are installed with torch, and are not used without a GPU."""
_READ, _PRIVATE = 1, 2
_PINNED = "MODELYARD_TESTS_PINNED"


def main(command: list[str]) -> int:
    """The command's exit status. Within another one that keeps the files, it is only run."""
    if _PINNED in os.environ:
        return subprocess.run(command, check=False).returncode
    os.environ[_PINNED] = "1"
    keeper = os.fork() if hasattr(os, "fork") else -1
    if keeper == 0:
        keep(os.getppid())
    try:
        return subprocess.run(command, check=False).returncode
    finally:
        if keeper > 0:
            os.kill(keeper, 9)
            os.waitpid(keeper, 0)


def keep(parent: int) -> None:
    """Lock the files one by one, and stay until the parent has ended."""
    os.nice(10)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    for count, path in enumerate(files()):
        if os.getppid() != parent or count == _MOST_FILES or not lock(libc, path):
            break
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def lock(libc: ctypes.CDLL, path: Path) -> bool:
    """Whether there is room, and leave, for more. A file that cannot be read is passed over."""
    try:
        size, file = path.stat().st_size, os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        if size == 0:
            return True
        if available() - size < _LEFT:
            return False
        address = libc.mmap(None, size, _READ, _PRIVATE, file, 0)
        return address not in {None, ctypes.c_void_p(-1).value} and libc.mlock(address, size) == 0
    finally:
        os.close(file)


def available() -> float:
    """Bytes of memory that are available. 0 where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((1024 * float(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), 0.0)


def files() -> Iterator[Path]:
    """What most processes need comes first: compiled modules, then libraries, then the browser."""
    roots = [Path(sysconfig.get_path("stdlib")), *(world for name in (".venv", ".venv-tf") if (world := packages(ROOT / name)))]
    below = [[path for path in root.rglob("*") if not any(word in path.as_posix() for word in _UNUSED)] for root in roots]
    for paths in below:
        yield from (path for path in paths if path.suffix == ".pyc")
    for paths in below:
        yield from (path for path in paths if ".so" in path.name and path.stat().st_size > _LARGE // 10)
    browser = Path("/usr/lib/chromium") if shutil.which("chromium") else None
    for folder in filter(None, (browser, ROOT / "serving" / "browser" / "page" / "build")):
        yield from (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > _LARGE)


def packages(world: Path) -> Path | None:
    """An environment's packages; `.venv` names the folder of the cached one that it stands on in a .pth file."""
    site = next(iter(sorted((world / "lib").glob("python3*/site-packages"))), None)
    named = site and site / "_modelyard_world.pth"
    return Path(named.read_text(encoding="utf-8").split("\n")[0]) if named and named.is_file() else site


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
