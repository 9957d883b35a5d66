"""How long a function keeps a processor, whatever else the machine does meanwhile."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The least CPU seconds of this thread over `repeats` calls.

    `time.process_time` counts the threads that other tests left in the process too, and the collector walks everything that
    they left alive; neither is the function's.
    """
    gc.collect()
    gc.freeze()
    try:
        return min(_once(function) for _ in range(repeats))
    finally:
        gc.unfreeze()


def _once(function: Callable[[], object]) -> float:
    began = time.thread_time()
    function()
    return time.thread_time() - began
