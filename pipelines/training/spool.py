"""What a training logs, in order, although MLflow may be away: what cannot be delivered waits in the run's folder.

Each call is written to `spool.jsonl` before it is sent, and the file goes when MLflow has all of it. So a process that is
killed loses nothing either. Everything is sent in a way that may be repeated: metrics carry the time at which they were
measured, and MLflow keeps one point of a metric, a step and a time. Epochs leave in a thread of their own, so training waits
for no request; a server that is away is asked again after 2 s, 4 s, and so on up to a minute.
"""

from __future__ import annotations

import shutil
import threading
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.training.kept import TrainingFolder, append_line, read_lines
from pipelines.training.sender import Sender
from registry.backoff import wait_s
from registry.errors import ModelyardError, UnavailableError
from registry.files import storing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from registry.mlflow.tracker import RunLog

_LONGEST_S = 60.0
_POINTS = 1000
"""MLflow takes so many metrics in a request."""
IN_A_THREAD = True
"""Tests that count requests have them all made in one thread."""
T = TypeVar("T")


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time_ns() // 1_000_000


@dataclass
class SpooledRun:
    """A run's log. Without a folder (`kept`) nothing waits: what MLflow does not take is raised.

    `patience` is for how many seconds the end of a training waits for a server that is away.
    """

    run: RunLog
    kept: TrainingFolder | None
    say: Callable[[str], None]
    patience: float = 60.0
    _waiting: list[tuple[str, list[Any]]] = field(default_factory=list[tuple[str, list[Any]]])
    _failures: int = 0
    _again_at: float = 0.0
    _sender: Sender | None = None
    _state: threading.RLock = field(default_factory=threading.RLock)
    _delivery: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        """What a process before has left comes first."""
        if self.kept:
            self._waiting = [(str(line["call"]), line["values"]) for line in read_lines(self.kept.spool) if "call" in line]

    @contextmanager
    def sending(self) -> Generator[None]:
        """Within the block epochs leave in a thread, where they can wait on disk."""
        self._sender = Sender(self._try_in_time) if self.kept and IN_A_THREAD else None
        try:
            yield
        finally:
            if self._sender:
                self._sender.close()
                with suppress(ModelyardError):  # what went wrong first is what the user has to hear of
                    self._try_in_time()

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters."""
        self._put("params", {name: value if isinstance(value, (int, float)) else str(value) for name, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0, stamp: int | None = None) -> None:
        """Log metrics at a step; `stamp` is when they were measured, in milliseconds."""
        at = clock_ms() if stamp is None else stamp
        self._put("points", [[name, float(value), at, step] for name, value in values.items()])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._put("tags", dict(values))

    def rename(self, name: str) -> None:
        """Name the run anew."""
        self._put("rename", name)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Say which data set the run uses."""
        self._put("dataset", name, digest, source, context)

    def figure(self, figure: Figure, name: str) -> None:
        """Log a Matplotlib figure as a picture."""
        if self.kept is None:
            self.run.figure(figure, name)
            return
        path = self.kept.path / "files" / name
        with self._state:  # a delivery that ends in the other thread removes the folder of files
            path.parent.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():  # a character that no font here has becomes a box, in silence
                warnings.filterwarnings("ignore", "Glyph")
                figure.savefig(path)
            self._keep("file", self._named(path), str(Path(name).parent))
        self._try_in_time()

    def folder(self, folder: Path, artifact_path: str) -> None:
        """Log a folder's files; the folder stays where it is until they are delivered."""
        self._put("folder", self._named(folder), artifact_path)

    def _named(self, path: Path) -> str:
        """A path as the spool has it: below the run's folder, which may move with its home."""
        root = self.kept.path if self.kept else Path()
        return str(path.relative_to(root) if path.is_relative_to(root) else path.absolute())

    def _keep(self, call: str, *values: Any) -> None:
        with self._state:
            if self.kept:
                with storing(self.kept.spool):
                    append_line(self.kept.spool, {"call": call, "values": values})
            self._waiting.append((call, list(values)))

    def _put(self, call: str, *values: Any) -> None:
        self._keep(call, *values)
        if self.kept is None:
            self.flush()
        elif self._sender and call == "points":
            self._sender.wake()
        else:
            self._try_in_time()

    def _try_in_time(self) -> None:
        if monotonic() >= self._again_at:
            self._try()

    def _try(self) -> None:
        """Deliver what waits, unless MLflow is away: then say so once."""
        away = self._failures > 0
        try:
            self.flush()
        except UnavailableError as error:
            if not away:
                self.say(f"{error.subject} {error.expectation}: what is logged waits in {self.kept and self.kept.spool}")
            return
        if away:
            self.say("MLflow is there again, and has what was logged meanwhile")

    def flush(self) -> None:
        """Deliver what waits, in order. Raises UnavailableError where MLflow is away.

        What MLflow answers and does not take, such as a parameter's other value, is said and waits no more.
        """
        with self._delivery:
            while pending := self._next():
                call, values, count = pending
                try:
                    self._deliver(call, values)
                except UnavailableError:
                    self._failures += 1
                    self._again_at = monotonic() + wait_s(self._failures, longest=_LONGEST_S)
                    raise
                except ModelyardError as error:
                    if self.kept is None:
                        raise
                    self.say(f"not logged: {error}")
                with self._state:
                    del self._waiting[:count]

    def _next(self) -> tuple[str, list[Any], int] | None:
        """The next call, with the metrics of those after it where it logs metrics, and how many calls that are.

        None where nothing waits: then nothing does on disk either.
        """
        with self._state:
            if not self._waiting:
                self._delivered()
                return None
            call, values = self._waiting[0]
            if call != "points":
                return call, values, 1
            points, count = list[Any](), 0
            for other, more in self._waiting:
                if other != call or (count and len(points) + len(more[0]) > _POINTS):
                    break
                points, count = points + more[0], count + 1
            return call, [points], count

    def _delivered(self) -> None:
        self._failures, self._again_at = 0, 0.0
        if self.kept:
            self.kept.spool.unlink(missing_ok=True)
            shutil.rmtree(self.kept.path / "files", ignore_errors=True)

    def _deliver(self, call: str, values: list[Any]) -> None:
        match call, values:
            case "params", [{**given}]:
                self.run.params(given)
            case "points", [[*points]]:
                self.run.points([(str(name), value, stamp, step) for name, value, stamp, step in points])
            case "tags", [{**given}]:
                self.run.tags(given)
            case "rename", [str(name)]:
                self.run.rename(name)
            case "dataset", [name, digest, source, context]:
                self.run.dataset(name, digest, source, context)
            case "file" | "folder", [str(name), artifact_path]:
                path = self.kept.path / name if self.kept else Path(name)
                if path.exists():  # else removed by hand, or delivered before a kill
                    deliver = self.run.file if call == "file" else self.run.folder
                    deliver(path, artifact_path)
            case _:  # of a later release
                return

    def patiently(self, step: Callable[[], T]) -> T:
        """A step's answer; where MLflow is away, it is asked again until the patience is over. Raises what the step raises."""
        return patiently(step, self.patience, self.say)


def patiently(step: Callable[[], T], patience: float, say: Callable[[str], None]) -> T:
    """A step's answer; where a server is away, it is asked again for so many seconds. Raises what the step raises."""
    until, failures = monotonic() + patience, 0
    while True:
        try:
            return step()
        except UnavailableError as error:
            failures += 1
            wait = wait_s(failures, longest=_LONGEST_S)
            if monotonic() + wait > until:
                raise
            say(f"{error.subject} {error.expectation}: asked again in {wait:g} s")
            sleep(wait)
