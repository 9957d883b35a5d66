"""A double's worker: the real predictor with the bundle named in its environment, downloaded as a real worker would do it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from registry.digests import sha256_bytes
from registry.errors import InputError
from serving.bundle.bundle import Bundle
from serving.bundle.download import pull
from serving.bundle.seal import check_sealed
from serving.inference.predictor import Predictor


def mounting(folder: Path) -> Callable[[bytes], dict[str, Any]]:
    """A worker's program whose bundle is mounted in a folder."""
    predictor = Predictor(Bundle(folder, check_sealed(folder, pulled=True)), threads=1)
    return lambda image: msgspec.to_builtins(predictor.predict([image])[0])


def booting(folder: Path) -> Callable[[dict[str, str]], Callable[[bytes], dict[str, Any]]]:
    """Starts workers that download bundles below `folder`; each is loaded once from one address with one token."""
    loaded: dict[tuple[str, str, str], Predictor] = {}

    def boot(env: dict[str, str]) -> Callable[[bytes], dict[str, Any]]:
        digest, address = env.get("MODELYARD_BUNDLE", ""), env.get("MODELYARD_BUNDLE_URL", "")
        if not digest or not address:
            raise InputError("MODELYARD_BUNDLE_URL", "is not set", "set it and MODELYARD_BUNDLE")
        key = (digest, address, env.get("MODELYARD_BUNDLE_TOKEN", ""))
        if key not in loaded:
            bundle_dir = pull(address, digest, folder / sha256_bytes("\n".join(key).encode())[:32], key[2])
            loaded[key] = Predictor(Bundle(bundle_dir, check_sealed(bundle_dir, pulled=True)), threads=1)
        predictor = loaded[key]
        return lambda image: msgspec.to_builtins(predictor.predict([image])[0])

    return boot
