"""Work side by side, by lanes: within a lane one after the other, so that a slow place holds up nobody but its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from registry.errors import BusyError, MissingKeyError, WaitingError, describe

Lane = tuple[object, ...]
"""What is asked together, such as the accounts that serve a model."""


class Task(NamedTuple):
    """Work in a lane; `name` is what it is about. It returns sentences of what was done.

    Two tasks of one model never run at once: they would meet at its lease.
    """

    name: str
    model: str
    lane: Lane
    work: Callable[[], list[str]]


class Lanes:
    """A thread for each lane that has work. A task that fails becomes a sentence and keeps nobody from the next."""

    def __init__(self) -> None:
        """No thread runs before the first task."""
        self._changed = threading.Condition()
        self._queues: dict[Lane, deque[Task]] = {}
        self._pending, self._busy = set[str](), set[str]()
        self._ended = list[tuple[str, list[str]]]()

    def submit(self, task: Task) -> None:
        """Queue a task, unless the one of that name has not ended yet."""
        with self._changed:
            if task.name in self._pending:
                return
            self._pending.add(task.name)
            if task.lane in self._queues:
                self._queues[task.lane].append(task)
                self._changed.notify_all()  # the lane may wait for a model, and this task be of another
                return
            self._queues[task.lane] = deque([task])
        threading.Thread(target=self._run, args=(task.lane,), daemon=True, name=f"lane {task.lane}").start()

    def collect(self, seconds: float | None = None) -> list[str]:
        """Sentences of the tasks that have ended, by their names; waits for all of them, or no longer than the seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending, seconds)
            ended, self._ended = self._ended, []
        return [line for _, lines in sorted(ended) for line in lines]

    def _run(self, lane: Lane) -> None:
        while True:
            with self._changed:
                task = self._next(lane)
                if task is None:
                    del self._queues[lane]
                    return
                self._busy.add(task.model)
            lines = _on_its_own(task)
            with self._changed:
                self._ended.append((task.name, lines))
                self._pending.discard(task.name)
                self._busy.discard(task.model)
                self._changed.notify_all()

    def _next(self, lane: Lane) -> Task | None:
        """The first task whose model nobody works on; waited for where there is none now. None once the lane is empty."""
        queue = self._queues[lane]
        while queue:
            for task in queue:
                if task.model not in self._busy:
                    queue.remove(task)
                    return task
            self._changed.wait()
        return None


def _on_its_own(task: Task) -> list[str]:
    try:
        return task.work()
    except (BusyError, MissingKeyError, WaitingError):
        return []  # another process works on it, or its failure was said: the next pass looks again
    except BaseException as error:  # noqa: BLE001 a lane that ends leaves its tasks waiting for ever
        return [f"{task.name} could not be reconciled: {describe(error)}"]
