"""Which code trained: the release, and the state of the checkout that the command runs in, as tags of MLflow's own names."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

from registry.address import redact_login
from serving.environment import safe_environment

RELEASE_TAG = "modelyard.release"
_TIMEOUT_S = 5.0
_QUIET = ("-c", "core.fsmonitor=false")
"""A checkout may name a program there that its status runs."""


def code_tags(folder: Path) -> dict[str, str]:
    """The release, and, where the folder lies in a git checkout, its commit, branch, address and whether files differ from it.

    Says nothing of a checkout that git does not answer for within five seconds: it is missing, or it does not trust the folder.
    """
    tags = {RELEASE_TAG: version("modelyard")}
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return tags
    lines = status.splitlines()
    heads = dict(line.removeprefix("# branch.").split(" ", 1) for line in lines if line.startswith("# branch."))
    commit = heads.get("oid", "")
    if not commit or not commit.isalnum():  # `(initial)`: there is no commit yet
        return tags
    dirty = any(not line.startswith("#") for line in lines)
    tags |= {"mlflow.source.git.commit": commit, "mlflow.source.git.dirty": str(dirty).lower()}
    if heads.get("head", "(detached)") != "(detached)":
        tags["mlflow.source.git.branch"] = heads["head"]
    if address := (_git(folder, "config", "--get", "remote.origin.url") or "").strip():
        tags["mlflow.source.git.repoURL"] = redact_login(address)
    return tags


def _git(folder: Path, *command: str) -> str | None:
    """What git prints; None where it fails."""
    try:
        done = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *command],  # noqa: S607 the user's own git
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env=safe_environment(settings={"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
