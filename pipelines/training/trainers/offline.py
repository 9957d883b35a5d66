"""Ultralytics as it is used here: offline, and with its own logging off."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_TRACKERS = ("clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
"""Ultralytics reports to whichever of them is installed, even where nobody asked for it; importing Ray takes seconds."""


def ultralytics(work: Path) -> Any:
    """Ultralytics' model class, with its settings in `work`. Whatever else of Ultralytics is imported comes after this."""
    config = work / "ultralytics"
    config.mkdir(parents=True, exist_ok=True)
    for name, value in (("YOLO_OFFLINE", "true"), ("YOLO_AUTOINSTALL", "false"), ("YOLO_CONFIG_DIR", str(config))):
        os.environ.setdefault(name, value)
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    from ultralytics import YOLO, settings

    settings.update(dict.fromkeys(("sync", *_TRACKERS), False))
    return YOLO
