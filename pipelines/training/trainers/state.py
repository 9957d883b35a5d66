"""What a training that is interrupted goes on from: one file, replaced in one step."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

from registry.files import storing

_FILE = "state.pt"
_SHARE, _LONGEST_S = 100, 60.0


@dataclass
class Saved:
    """Where a training is: its step, its end as planned by now, from where it cools down, and the best that val has seen."""

    end: int
    step: int = 0
    cool_from: int = 0
    best_top1: float = -1.0
    best_loss: float = float("inf")
    best_step: int = 0
    lowest: float = float("inf")
    lowest_step: int = 0
    last_top1: float = float("nan")
    last_loss: float = float("nan")
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def cooling(self, steps: int, share: float) -> int:
        """The step from which the learning rate falls."""
        return self.cool_from or round(steps * (1 - share))

    def document(self) -> dict[str, int | float]:
        """The plain fields."""
        return {name: value for name, value in vars(self).items() if name != "best"}


class StateFile:
    """The state of one training in a folder. It is read as tensors and plain values: nothing in it is run."""

    def __init__(self, folder: Path, key: str, say: Callable[[str], None] = lambda _: None) -> None:
        """`key` says what is trained, on what, and how: a state of anything else is not gone on from."""
        self._path, self._key, self._say, self._due_at = folder / _FILE, key, say, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, Any] | None:
        """The last state, or None where there is none of this training; one that cannot be read is said."""
        if not self._path.exists():
            return None
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 torch's reader raises in many ways: a file may be cut, of zeros, or anything else
            self._say(f"the checkpoint {self._path} is damaged: training begins anew")
            return None
        return state if isinstance(state, dict) and state.get("key") == self._key else None

    @property
    def is_due(self) -> bool:
        """Whether another state is worth its time: after one that took a while, training goes on a hundred times as long.

        A minute at most: what a kill may cost.
        """
        return monotonic() >= self._due_at

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state; a kill at any moment leaves the former one or this one."""
        began = monotonic()
        content, part = io.BytesIO(), self._path.with_name(f".{_FILE}.part")
        torch.save(state | {"key": self._key}, content)  # to a file, a full disk is a RuntimeError in torch's own words
        try:
            with storing(self._path):
                part.write_bytes(content.getbuffer())
                part.replace(self._path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        ended = monotonic()
        self._due_at = ended + min(_SHARE * (ended - began), _LONGEST_S)
