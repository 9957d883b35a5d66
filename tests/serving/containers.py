"""What the tests of containers share: a host of bundles, a free port, a signature, and patience."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from serving.fakes.http import listening

ROOT = Path(__file__).resolve().parents[2]


def names_in(lock: str) -> list[str]:
    """The packages of a lock."""
    return re.findall(r"^([a-z0-9._-]+)==", (ROOT / "locks" / lock).read_text(), re.MULTILINE)


@contextmanager
def hosted(bundle, folder: Path) -> Iterator[str]:
    """A bundle's address at a host of files."""
    shutil.copytree(bundle.folder, folder / bundle.index.digest)
    with listening(Starlette(routes=[Mount("/", StaticFiles(directory=folder))])) as url:
        yield f"{url}/{bundle.index.digest}"


def signed(bundle, folder: Path) -> Path:
    """Sign a bundle with a new key; the folder of its public half."""
    from registry.signing import open_keyring, public_text
    from serving.bundle.signature import sign_bundle

    ring = open_keyring(folder / "key.pem", folder / "none")
    (folder / "keys").mkdir(parents=True)
    (folder / "keys" / "key.pub").write_text(public_text(ring.own.public_key()))
    sign_bundle(bundle.folder, ring)
    return folder / "keys"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answered(call, seconds: float = 30):
    """What a call gives as soon as somebody answers."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
