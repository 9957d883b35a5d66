"""What every trainer does when the loss is no number any more, and when memory runs out. No framework is imported here.

A loss that is not finite never becomes finite again: training stops and names the step and the pictures of its batch. Memory
that runs out is answered with half the batch, which is said.
"""

from __future__ import annotations

import errno
import gc
import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from registry.errors import ModelyardError, UnavailableError, shorten
from registry.files import storing

LEAST_BATCH = 2
"""Batch normalisation cannot train on a single picture."""
_SHOWN = 5
_NAMES = {"OutOfMemoryError", "ResourceExhaustedError", "MemoryError"}
"""Of torch (CUDA, XPU), of TensorFlow, and Python's own, of which NumPy's is one."""
_WORDS = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|unable to allocate|oom when allocating"
    r"|out_of_memory|resource_?exhausted|_status_alloc_failed|std::bad_alloc",
    re.IGNORECASE,
)
"""CUDA, MPS, torch's CPU allocator, NumPy, TensorFlow, cuBLAS and cuDNN, C++: all of them raise a RuntimeError somewhere."""

T = TypeVar("T")


def not_finite(step: int, files: Sequence[object], loss: float = float("nan")) -> ModelyardError:
    """The error for a loss that is NaN or infinite at an optimizer step (from 1), with the files of its batch."""
    names = ", ".join(str(file) for file in files[:_SHOWN]) or "files that the framework does not name"
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    what = f"the loss is {loss}, which no further step repairs; its batch was {names}{more}"
    return ModelyardError(f"training step {step}", what, "lower `lr0` in the job file, and look at these files")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that memory ran out: on a GPU or in the machine, in any framework's words."""
    seen = set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if any(kind.__name__ in _NAMES for kind in type(cause).__mro__):
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, (RuntimeError, ModelyardError)) and _WORDS.search(str(cause)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def halving(batch: int, fit: Callable[[int], T], say: Callable[[str], None]) -> T:
    """What `fit` gives for a batch; each time that memory runs out, for half of it, which is said.

    `fit` is called anew from the beginning, or from its last checkpoint where it keeps some. Raises ModelyardError where even
    the smallest batch is too large.
    """
    while True:
        try:
            return fit(batch)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if batch <= LEAST_BATCH:
                what = f"there is not enough memory even for a batch of {batch}"
                raise ModelyardError("training", what, "lower `imgsz`, or train on a machine with more memory") from error
        # outside of the handler: the error's frames hold the tensors that filled the memory
        _release_memory()
        smaller = max(batch // 2, LEAST_BATCH)
        say(f"out of memory with a batch of {batch}: training goes on with {smaller}")
        batch = smaller


@contextmanager
def training_errors(kind: str) -> Generator[None]:
    """The border to the frameworks that train: a network they miss, or a full disk, in one line. A bug stays what it is.

    What goes wrong with MLflow meanwhile is an error of ours already.
    """
    try:
        with storing(f"{kind} trainer"):
            yield
    except OSError as error:
        why = f"could not reach or use what it needs ({type(error).__name__}: {shorten(error, 160)})"
        raise UnavailableError(f"{kind} trainer", why, "see its output above") from error


def _release_memory() -> None:
    """Give back what nobody refers to, to the device too, where torch is loaded."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    for device in ("cuda", "mps"):
        with suppress(Exception):  # a device that is not there, or whose driver has just failed
            getattr(torch, device).empty_cache()
