"""A thousand deployments at random faults, the same for each cloud's double."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import ModelyardError, RefusedError

RATES = {"429": 0.02, "500": 0.02, "dropped": 0.02, "402": 0.003, "403": 0.003, "lost": 0.03, "unhealthy": 0.02, "stuck": 0.02}
STATED = {"deployed", "deleted", "over the cap"}
STATED |= {"InputError", "RefusedError", "UnavailableError", "LostReplyError", "IntegrityError", "BusyError"}


@dataclass
class Chaos:
    """What was asked of a target, and how each ended. `served` and `spent` look into the double, past the target."""

    target: Any
    bundles: Sequence[Any]
    served: Callable[[str], str | None]
    spent: Callable[[str], float]
    cap: float
    ends: Counter[str] = field(default_factory=Counter)
    meant: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    torn: list[str] = field(default_factory=list)
    dearest: float = 0.0

    def run(self, count: int, passes: Callable, fails: Callable) -> None:
        for number in range(count):
            name, deletes = f"model{number % 20:02d}", number % 9 == 8
            before, paid = self.served(name), self.spent(name)
            try:
                self._one(number, name, deletes, fails if number % 31 == 30 else passes)
            except ModelyardError as error:
                self._ended(name, error, deletes, changed=self.served(name) != before)
            else:
                self.failed.discard(name)
                assert deletes or paid <= self.cap, f"{name} was deployed when it had cost {paid}"
            self.dearest = max(self.dearest, self.spent(name) - paid)

    def _one(self, number: int, name: str, deletes: bool, smoke: Callable) -> None:
        if deletes:
            self.target.delete(name)
            self.meant.pop(name, None)
            self.ends["deleted"] += 1
        else:
            place = (number * 7 + number // 20) % len(self.bundles)
            self.meant[name] = place
            self.target.deploy(name, self.bundles[place], smoke)
            self.ends["deployed"] += 1

    def _ended(self, name: str, error: ModelyardError, deletes: bool, *, changed: bool) -> None:
        over = isinstance(error, RefusedError) and "this month, over the" in str(error)
        self.ends["over the cap" if over else type(error).__name__] += 1
        if not over:
            self.failed.add(name)
        if changed:
            self.torn.append(str(error) if not deletes else "could not be put back: half deleted")

    def check(self, leaks: Sequence[str], most_torn: int) -> None:
        """Each ended in a stated way; what is left behind belongs to what was said to have failed."""
        assert set(self.ends) <= STATED
        assert [one for one in self.torn if "could not be put back" not in one] == []
        assert len(self.torn) < most_torn
        assert {name for name in leaks if not any(one in name for one in self.failed)} == set()

    def mend(self, names: Sequence[str], passes: Callable) -> None:
        """Everything once more, without faults: as it was meant, or gone."""
        for name in sorted(set(names)):
            if name in self.meant:
                self.target.deploy(name, self.bundles[self.meant[name]], passes)
            else:
                self.target.delete(name)
