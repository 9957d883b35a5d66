"""Which device a trainer of torch's world computes on."""

from __future__ import annotations

import os

from pipelines.job.launch import Device
from registry.errors import InputError

_VARIABLE = "MODELYARD_TRAIN_DEVICE"
"""How a training process tells its trainers: they take no option of where they run, which is the launcher's."""


def use_device(device: Device, kind: str) -> None:
    """Have every trainer of this process compute there. Called before a framework looks for devices."""
    os.environ[_VARIABLE] = device
    if device in {"cpu", "mps"}:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if kind != "keras":  # it trains on the CPU, in the TensorFlow world
        check_device(device)


def check_device(device: Device) -> None:
    """Raise InputError for a device that was asked for and is not here. Imports torch, unless it is `auto` or the CPU."""
    if device in {"auto", "cpu"}:
        return
    if device not in _there():
        why = "is asked for, and torch sees no such device here"
        raise InputError(f"device '{device}'", why, "set `launch: {kind: local, device: auto}`, or see the driver")


def training_device() -> str:
    """The name by which torch knows the device to train on: `cuda`, `mps` or `cpu`."""
    wanted = os.environ.get(_VARIABLE, "auto")
    if wanted != "auto":
        return wanted
    return next(iter(_there()), "cpu")


def _there() -> list[str]:
    """The accelerators that torch sees, the fastest first."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, is_there in there.items() if is_there]
