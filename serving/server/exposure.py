"""Who may reach a server: other machines only where it asks for a key, or where it was told that something else does.

Every server of ours that can listen elsewhere than at loopback is decided on here, by the address it really takes: a host
name, `0` or an empty text mean what the system makes of them.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import NamedTuple

from registry.errors import InputError

API_KEY = "MODELYARD_API_KEY"
NO_KEY = "MODELYARD_NO_KEY"
"""Set to 1 in a container whose provider asks for its own key before a request arrives."""


class Exposure(NamedTuple):
    """Whether a server is protected, and what to do where it is not and would be reached from elsewhere."""

    protected: bool
    remedy: str

    def check(self, host: str, address: str) -> None:
        """Raise InputError where `address`, which `host` came to, is reached by other machines and nothing protects it."""
        if not self.protected and not is_loopback(address):
            raise InputError(f"--host {host}", "would answer whoever reaches it", self.remedy)


def keyed(key: str, *, no_key: bool = False) -> Exposure:
    """The exposure of a server whose clients show `key`; with `no_key` it may be reached without one."""
    remedy = f"set {API_KEY}, leave --host out, or say --no-key where something in front of it asks for one"
    return Exposure(bool(key) or no_key, remedy)


def api_key(text: str | None) -> str:
    """The key that clients have to show, without blanks around it; empty where none is set.

    Raises InputError for blanks alone: whoever set them takes the server to be closed.
    """
    key = (text or "").strip()
    if text and not key:
        raise InputError(API_KEY, "is blank", "set it to a key that is hard to guess, or unset it")
    return key


def key_of_environment() -> str:
    """The key in this process's environment."""
    return api_key(os.environ.get(API_KEY))


def address_of(host: str) -> str:
    """An address that a server at `host` takes: one beyond this machine, where there is any among them.

    Raises InputError for a host that has none.
    """
    try:
        infos = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host}", "is no address of this machine", "name one, or leave it out") from error
    addresses = [str(info[4][0]) for info in infos]
    return next((address for address in addresses if not is_loopback(address)), addresses[0])


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    number = ipaddress.ip_address(address.partition("%")[0])
    inner = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
    return (inner or number).is_loopback
