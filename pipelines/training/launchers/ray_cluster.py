"""A Ray cluster: one that is there already, or one of this machine's own for as long as a command needs it.

Ray's processes get no secret: they are started with the allow list of `serving.environment`. Ray listens on every network
interface whatever it is told, so a cluster that is started here answers only to who has its token, which is made anew each
time and written nowhere.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from registry.errors import UnavailableError, missing_extra, shorten
from serving.environment import safe_environment

Address = str
"""`local`: started here; `auto`: the one that runs here or that RAY_ADDRESS names, else started here; else its address."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}
_STORE_BYTES = 512_000_000
_REACH_S = 10.0


def check_ray() -> None:
    """Raise UnavailableError where Ray is not installed. It is not imported to find out."""
    if find_spec("ray") is None:
        raise missing_extra("ray", "Ray")


@contextmanager
def cluster(address: Address, cpus: int | None = None) -> Generator[Literal["started", "joined"]]:
    """Be connected to a cluster within the block, and say whether it was started for it. `cpus` is for one that is started.

    A process that is connected already stays so. Raises UnavailableError where Ray is not installed, and where nobody answers.
    """
    check_ray()
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield "joined"
        return
    with _environment(_QUIET):
        how = _connect(ray, address, cpus)
        try:
            yield how
        finally:
            ray.shutdown()


def _connect(ray: Any, address: Address, cpus: int | None) -> Literal["started", "joined"]:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address != "local" and (address != "auto" or _runs_here()):
        try:
            _reach(address)
            ray.init(address=address, **quiet)
        except Exception as error:  # Ray's own, gRPC's, or an assertion: they share no base class
            why = f"does not answer ({type(error).__name__}: {shorten(error, 120)})"
            raise UnavailableError(f"Ray at '{address}'", why, "check the address, or give `local`") from error
        return "joined"
    token = {"RAY_AUTH_TOKEN": _token()}  # Ray turns its check on by itself, and only then believes that it is on
    ours = [name for name in os.environ if name.startswith("RAY_") or name in _QUIET]
    os.environ.update(token)
    with _silent(), _only(safe_environment(*ours, settings=token)):
        ray.init(
            address="local",
            num_cpus=cpus or len(os.sched_getaffinity(0)),
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    return "started"


def _reach(address: Address) -> None:
    """Raise OSError where nobody listens: Ray itself would ask for minutes. An address without a port is left to Ray."""
    known = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = known.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()


def _runs_here() -> bool:
    """Whether `auto` has a cluster to join. Asked before Ray is: it remembers for good how the first answer was proven."""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    return bool(os.environ.get("RAY_ADDRESS")) or (folder / "ray" / "ray_current_cluster").is_file()


@cache
def _token() -> str:
    """The token of clusters that this process starts: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _silent() -> Generator[None]:
    """Nothing on standard error: Ray's core says there, past Python, at which level it logs. Its errors are raised besides."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _only(variables: Mapping[str, str]) -> Generator[None]:
    """Nothing but these in the environment, which what is started within the block inherits."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Generator[None]:
    """The environment as it is, with settings over it; afterwards as it was before, Ray's token gone with them."""
    with _only(dict(os.environ) | dict(settings)):
        yield
