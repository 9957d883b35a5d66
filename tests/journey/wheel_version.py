"""Registers a version of `hand` in the home of the current folder: a real network that torch runs, not a trained one."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import open_dataset
from pipelines.home import Home
from registry.events import Trained, about
from registry.promotion.verdict import digest_version, resolve
from registry.refs import Ref
from registry.settings import read_settings
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess


class Network(torch.nn.Module):
    """The mean of each colour."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(images.mean((2, 3)), 1)


home = Home(read_settings(None))
data = open_dataset(home.settings.datasets / "hand")
DatasetCatalog(home.settings.datasets).add(data)
with TemporaryDirectory() as scratch:
    folder = Path(scratch) / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
    program = torch.export.export(Network(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, folder / "data" / "model.pt2")
    write_info(folder, ModelInfo("torch", "tiny", "torch", data.manifest.labels, Preprocess(size=32), data.manifest.digest))
    with home.tracker("hand").run("torch", {}) as run:
        number = run.model(folder, "torch", "hand")
store = home.store()
version = resolve(store, Ref("hand", number))
spent = {"seconds": 1, "hardware": "here", "usd": Decimal("0.1"), "price_as_of": "2026-11-23", "dataset": data.manifest.digest}
home.ledger().append(Trained(**about(version, digest_version(store, version)), trainer="torch", run_id=version.run_id, **spent))
