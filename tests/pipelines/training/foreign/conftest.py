"""One data set of colors for all tests of models that were made elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import paint

from pipelines.data.dataset import DataSet


@pytest.fixture(scope="session")
def painted(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return paint(tmp_path_factory.mktemp("painted"))
