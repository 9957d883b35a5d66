"""A launch's token as a secret of the account: a pod's environment can be read by anybody who may list pods."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from pydantic import SecretStr

from registry.errors import BusyError, ModelyardError, UnavailableError, describe
from serving.targets.runpod.pod_shapes import NewSecret, Secret
from serving.targets.runpod.pods import PodClient
from serving.targets.runpod.transport import LostReplyError
from serving.targets.waiting import Clock

PREFIX = "modelyard_pod_"
_UNTIL = "token of one training; until "
_TRIES = 5
_DELETE_S = 300.0


@contextmanager
def kept_secret(
    client: PodClient, name: str, value: SecretStr, until: float, clock: Clock, say: Callable[[str], None]
) -> Generator[str]:
    """Keep the token while the block runs; the text that a pod's environment has in its place.

    Its description says until when it may be needed, so that the reaper can forget it where this process is killed.
    """
    secret = _create(client, NewSecret(name=name, value=value.get_secret_value(), description=f"{_UNTIL}{until:.0f}"), clock)
    try:
        yield f"{{{{ RUNPOD_SECRET_{name} }}}}"
    finally:
        _delete(client, secret, clock, say)


def expires(secret: Secret) -> float | None:
    """Until when a secret of ours may be needed; None for anybody else's."""
    text = (secret.description or "").removeprefix(_UNTIL)
    return float(text) if secret.name.startswith(PREFIX) and text.isdigit() else None


def _create(client: PodClient, new: NewSecret, clock: Clock) -> Secret:
    """Keep it exactly once: names are unique, so after a lost answer the name tells."""
    for _ in range(_TRIES):
        try:
            return client.create_secret(new)
        except (LostReplyError, BusyError):
            if kept := next((secret for secret in client.secrets() if secret.name == new.name), None):
                return kept
            clock.sleep(2.0)
    raise UnavailableError("RunPod", "does not keep a secret", "try again later")


def _delete(client: PodClient, secret: Secret, clock: Clock, say: Callable[[str], None]) -> None:
    until = clock.now() + _DELETE_S
    while True:
        try:
            return client.delete_secret(secret.id)
        except ModelyardError as error:
            if clock.now() > until:
                return say(
                    f"secret {secret.name} is still at RunPod ({describe(error)}): delete it, or run `modelyard reconcile`"
                )
        clock.sleep(15.0)
