"""Cleaning is tried on environments of the tests' own: those of whoever runs the tests are not theirs to remove."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MODELYARD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
