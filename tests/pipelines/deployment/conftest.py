"""A stage with a canary in its job, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.job.deploys import LocalDeploy

sys.path.insert(0, str(Path(__file__).parent))
from canary_world import RULES, World, make_world


@pytest.fixture
def world(make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> Iterator[World]:
    made = make_world(make_bundle, picture, tmp_path, LocalDeploy(canary=RULES, smoke_images=1))
    yield made
    made.targets.local().stop_all()
