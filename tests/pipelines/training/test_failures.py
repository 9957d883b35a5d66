"""A loss that is no number names its step and files; memory that runs out, in any framework's words, halves the batch."""

from __future__ import annotations

import errno
import weakref

import numpy as np
import pytest
import torch

from pipelines.training.trainers.failures import halving, not_finite, out_of_memory
from registry.errors import InputError, ModelyardError


class ResourceExhaustedError(Exception):
    """TensorFlow's, which lives in another interpreter."""


def caused_by(cause: Exception) -> Exception:
    error = ValueError("the trainer failed")
    error.__cause__ = cause
    return error


MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    ),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
    ResourceExhaustedError("Graph execution error"),
    ModelyardError("Keras", "exited with 1: ResourceExhaustedError: OOM when allocating tensor with shape[32,64]", "x"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    caused_by(MemoryError()),
]
OTHER = [RuntimeError("a bug"), ValueError("out of memory of names"), OSError(errno.ENOSPC, "full"), InputError("a", "b", "c")]


@pytest.mark.parametrize("error", MEMORY, ids=lambda error: f"{type(error).__name__} {str(error)[:20]}")
def test_memory_that_ran_out_is_known_in_every_frameworks_words(error: Exception) -> None:
    assert out_of_memory(error)


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_nothing_else_is_taken_for_it(error: Exception) -> None:
    assert not out_of_memory(error)
    with pytest.raises(type(error)):
        halving(64, lambda _: (_ for _ in ()).throw(error), lambda _: None)


def test_a_real_allocation_that_fails_is_one() -> None:
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(1 << 55, dtype=torch.uint8)
    with pytest.raises(MemoryError) as numpys:
        np.empty(1 << 55, np.uint8)
    assert out_of_memory(torchs.value)
    assert out_of_memory(numpys.value)


@pytest.mark.parametrize(
    ("fits", "tried"), [(64, [64]), (20, [64, 32, 16]), (2, [64, 32, 16, 8, 4, 2]), (3, [64, 32, 16, 8, 4, 2])]
)
def test_the_batch_is_halved_until_it_fits_and_each_time_it_is_said(fits: int, tried: list[int]) -> None:
    batches, lines = list[int](), list[str]()

    def fit(batch: int) -> str:
        batches.append(batch)
        if batch > fits:
            raise MemoryError
        return "fitted"

    assert halving(64, fit, lines.append) == "fitted"
    assert batches == tried
    assert len(lines) == len(tried) - 1
    assert all(f"batch of {batch}" in line for batch, line in zip(tried[:-1], lines, strict=True))


def test_what_filled_the_memory_is_released_before_the_next_try() -> None:
    held = list[weakref.ref[torch.Tensor]]()

    def fit(batch: int) -> bool:
        if held:
            return held[0]() is None
        tensor = torch.zeros(batch)
        held.append(weakref.ref(tensor))
        raise MemoryError

    assert halving(8, fit, lambda _: None), "the failed try's tensors are still there"


def test_memory_too_small_for_any_batch_is_one_line() -> None:
    def never(_: int) -> None:
        raise MemoryError

    with pytest.raises(ModelyardError, match="not enough memory even for a batch of 2; lower `imgsz`"):
        halving(5, never, lambda _: None)


def test_a_loss_that_is_no_number_names_the_step_and_the_files_of_the_batch() -> None:
    line = str(not_finite(12, [f"cup/{number}.jpg" for number in range(7)]))
    assert line.startswith("training step 12: the loss is nan")
    assert "cup/0.jpg, cup/1.jpg, cup/2.jpg, cup/3.jpg, cup/4.jpg and 2 more; lower `lr0`" in line
    assert "inf" in str(not_finite(1, ["a.jpg"], float("inf")))
