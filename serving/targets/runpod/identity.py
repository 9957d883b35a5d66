"""Which endpoints at RunPod are ours, and which is which: by their workers' environment, and not by their names.

RunPod adds a suffix to some names, and a person may rename an endpoint in the console. Endpoints that are older than this
mark are known by their name, with or without that suffix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.release import MARK, PREFIX, Release
from serving.targets.runpod.shapes import Endpoint
from serving.targets.undo import not_ours

_SUFFIX = re.compile(r" -\w+$")


def plain_name(endpoint: Endpoint) -> str:
    """Its name at RunPod, without what RunPod adds."""
    return _SUFFIX.sub("", endpoint.name)


def own_name(endpoint: Endpoint) -> str | None:
    """The name that we gave it, without our prefix; None for what is not ours."""
    if Release.read(endpoint.env) is None:
        return None
    if name := (endpoint.env or {}).get(MARK):
        return name
    return plain_name(endpoint).removeprefix(PREFIX) if endpoint.name.startswith(PREFIX) else None


@dataclass(frozen=True)
class Ours:
    """Our endpoints of an account. `every` is the account's list, where the caller has just read it."""

    client: RunPodClient

    def named(self, name: str, every: Iterable[Endpoint] | None = None) -> list[Endpoint]:
        """Those of one name, oldest first: duplicates are what lost answers leave.

        A copy that a person made under another name has our mark too, and is theirs as long as the original is there.
        Raises RefusedError where only somebody else's endpoint has that name.
        """
        known = list(self.client.endpoints() if every is None else every)
        marked = sorted((each for each in known if own_name(each) == name), key=lambda each: (each.created_at, each.id))
        if not marked and any(plain_name(each) == PREFIX + name and own_name(each) is None for each in known):
            raise not_ours(PREFIX + name, "RunPod")
        return [each for each in marked if plain_name(each) == PREFIX + name] or marked[:1]

    def only(self, name: str, every: Iterable[Endpoint] | None = None) -> Endpoint | None:
        """The endpoint of that name; of duplicates the oldest stays."""
        endpoints = self.named(name, every)
        for endpoint in endpoints[1:]:
            self.client.delete_endpoint(endpoint.id)
        return endpoints[0] if endpoints else None

    def clear(self, name: str, every: Iterable[Endpoint] | None = None) -> None:
        """Delete them all."""
        for endpoint in self.named(name, every):
            self.client.delete_endpoint(endpoint.id)
