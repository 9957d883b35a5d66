"""A file of weights: a state dictionary, read without running anything that the file says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from registry.digests import sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError

_NESTED = ("state_dict", "model_state_dict", "model")


def read_weights(path: Path, digest: str | None = None) -> tuple[Mapping[str, Tensor], str]:
    """A file's tensors by name, and its SHA-256.

    Raises NotFoundError where there is none, IntegrityError where it has another digest than the one pinned, and InputError
    for what holds anything but tensors.
    """
    if not path.is_file():
        raise NotFoundError(
            path, "is no file of weights", "give `imagenet`, `scratch`, or the path of a .pth or .safetensors file"
        )
    sha256 = sha256_file(path)
    if digest and sha256 != digest:
        raise IntegrityError(path, f"has the digest {sha256}, the job pins {digest}", "bring the file that was pinned")
    try:
        state = _read(path)
    except Exception as error:  # both readers raise in many ways; torch's words tell people to switch the safety off
        why = "is damaged, or no file of plain tensors"
        raise InputError(path, why, "save `model.state_dict()` with torch.save, or a .safetensors file") from error
    return state, sha256


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name in _NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    tensors = {name: value for name, value in dict(content).items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError("it holds no tensor")
    return tensors
