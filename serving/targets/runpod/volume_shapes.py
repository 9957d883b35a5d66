"""The requests and answers of RunPod's REST v2 about data centres and network volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from serving.targets.runpod.shapes import Shape

Level = Literal["NONE", "LOW", "MEDIUM", "HIGH"]
VolumeType = Literal["STANDARD", "HIGH_PERFORMANCE"]


class Stock(Shape):
    """How much of a kind of GPU is free in a data centre."""

    id: str
    availability: Level


class DataCenter(Shape):
    """A data centre. `network_volume_types` is empty where it has no network volumes."""

    id: str
    name: str
    region: str
    network_volume_types: list[VolumeType]
    gpu_availability: list[Stock] = Field(default=[])


class NetworkVolume(Shape):
    """A network volume. Pods and workers that mount it have to be in its data centre."""

    id: str
    name: str
    size: int
    data_center: str
    type: VolumeType


class NewNetworkVolume(Shape):
    """A network volume to create, in GB."""

    name: str
    size: int = Field(ge=10, le=4096)
    data_center: str
    type: VolumeType | None = None


class VolumeSize(Shape):
    """A network volume's new size, in GB."""

    size: int
