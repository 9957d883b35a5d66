"""What a run is called, so that a list of runs says how they differ: `torch efficientnet_lite0 224 frozen lr0 0.01`."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.training.trainers.contract import Fitted
from registry.errors import ModelyardError
from registry.records import Record
from serving.bundle.modelinfo import read_info

_MOST_DIFFERENCES, _LONGEST_VALUE = 3, 24


def first_name(config: Record, kind: str) -> str:
    """While it trains: trainer and architecture."""
    arch = str(getattr(config, "arch", ""))
    return f"{kind} {arch}".strip()


def full_name(fitted: Fitted, config: Record, kind: str) -> str:
    """By what was trained: what the trainer calls it, or trainer, architecture and the input's side."""
    if fitted.name:
        return fitted.name
    try:
        info = read_info(fitted.folder, kind)
    except ModelyardError:
        return first_name(config, kind)
    return f"{kind} {info.arch} {info.preprocess.size}"


def distinct_name(name: str, params: Mapping[str, object], others: Mapping[str, Mapping[str, str]]) -> str:
    """A name that none of the `others` has: with the parameters that differ from the run of that name, else with a number.

    `others` are names and parameters of the runs whose names begin alike.
    """
    if name not in others:
        return name
    earlier = others[name]
    differing = [
        f"{key} {value}"
        for key, value in params.items()
        if value is not None and key in earlier and str(value) != earlier[key] and len(str(value)) <= _LONGEST_VALUE
    ]
    name = " ".join([name, *differing[:_MOST_DIFFERENCES]])
    number = 1
    distinct = name
    while distinct in others:
        number += 1
        distinct = f"{name} {number}"
    return distinct
