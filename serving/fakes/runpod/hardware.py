"""What the double's account can rent: GPUs by pool, CPU flavours, data centres, and the images that workers run.

Prices, stock and versions are examples; the rules are RunPod's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Version = tuple[int, int]


@dataclass(frozen=True)
class GpuType:
    """A GPU of a pool: memory in GB, US dollars an hour on Serverless, the CUDA versions of its hosts, and its stock."""

    pool: str
    memory: int
    usd: float
    cuda: tuple[str, ...] = ("12.8", "13.0")
    stock: str = "HIGH"
    most: int = 8


@dataclass(frozen=True)
class CpuFlavour:
    """A CPU flavour: its name, US dollars an hour and GB of disk for one vCPU, the most vCPUs, GB of memory for each."""

    name: str
    usd: float
    disk: int
    vcpus: int = 32
    memory: float = 2.0


@dataclass(frozen=True)
class Image:
    """A container's image. `cuda` is what its libraries need of a host; "none": it has no CUDA at all; "": any host will do."""

    pull_s: float = 0.0
    missing: bool = False
    architecture: str = "amd64"
    cuda: str = ""


@dataclass(frozen=True)
class Host:
    """A machine that a worker is placed on; `gpu` is "" for one without."""

    gpu: str = ""
    cuda: str = ""
    data_center: str = "EU-RO-1"


GPUS = {
    "NVIDIA RTX A4000": GpuType("AMPERE_16", 16, 0.58),
    "NVIDIA RTX A4500": GpuType("AMPERE_16", 20, 0.58, stock="MEDIUM"),
    "NVIDIA RTX A5000": GpuType("AMPERE_24", 24, 0.69),
    "NVIDIA L4": GpuType("AMPERE_24", 24, 0.69, ("12.4", "13.0")),
    "NVIDIA GeForce RTX 4090": GpuType("ADA_24", 24, 1.12),
    "NVIDIA A40": GpuType("AMPERE_48", 48, 1.22, ("12.4", "12.8"), "LOW"),
    "NVIDIA H100 80GB HBM3": GpuType("ADA_80_PRO", 80, 4.18, stock="MEDIUM"),
}
CPUS = {
    "cpu3c": CpuFlavour("Compute-Optimized", 0.03, 10),
    "cpu3g": CpuFlavour("General Purpose", 0.04, 10, memory=4.0),
    "cpu5c": CpuFlavour("Compute-Optimized", 0.03, 15),
}
DATA_CENTERS = {
    "EU-RO-1": ("EU Romania 1", "EUROPE", ("STANDARD", "HIGH_PERFORMANCE")),
    "EU-CZ-1": ("EU Czechia 1", "EUROPE", ("STANDARD",)),
    "US-TX-3": ("US Texas 3", "NORTH_AMERICA", ("STANDARD",)),
    "US-KS-2": ("US Kansas 2", "NORTH_AMERICA", ()),
}
"""Id → name, region, kinds of network volumes."""


def version(text: str) -> Version:
    """`12.11` → numbers, since 12.11 is newer than 12.2; a bare major is its first release."""
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


@dataclass
class Hardware:
    """The stock of an account."""

    gpus: dict[str, GpuType]
    cpus: dict[str, CpuFlavour]
    data_centers: dict[str, tuple[str, str, tuple[str, ...]]]

    @classmethod
    def usual(cls) -> Hardware:
        """The examples above."""
        return cls(dict(GPUS), dict(CPUS), dict(DATA_CENTERS))

    @property
    def pools(self) -> set[str]:
        """Every pool."""
        return {gpu.pool for gpu in self.gpus.values()}

    def stock(self, pool: str, level: str, cuda: tuple[str, ...] | None = None) -> None:
        """Set the stock of a pool, and the CUDA versions of its hosts."""
        for name, gpu in self.gpus.items():
            if gpu.pool == pool:
                self.gpus[name] = replace(gpu, stock=level, cuda=gpu.cuda if cuda is None else cuda)

    def selected(self, gpu: Mapping[str, Any]) -> dict[str, GpuType]:
        """The GPU types that a selection of pools leaves."""
        excluded = {name.strip() for name in gpu.get("excludedTypes") or ()}
        return {name: row for name, row in self.gpus.items() if row.pool in gpu["pools"] and name not in excluded}

    def hosts(self, gpu: Mapping[str, Any]) -> Iterator[Host]:
        """The machines that could run a worker now, by its pools, its number of GPUs and its CUDA constraints."""
        for name, row in self.selected(gpu).items():
            if row.stock == "NONE" or gpu.get("count", 1) > row.most:
                continue
            yield from (Host(name, cuda) for cuda in row.cuda if fits_cuda(cuda, gpu))

    def usd_per_hour(self, spec: Mapping[str, Any]) -> float:
        """The cost of one worker: of what it may get, the dearest."""
        if cpus := spec.get("cpu"):
            return max(cpu["vcpuCount"] * self.cpus[cpu["id"]].usd for cpu in cpus)
        gpu = spec["gpu"]
        return max(row.usd for row in self.gpus.values() if row.pool in gpu["pools"]) * gpu.get("count", 1)


def fits_cuda(cuda: str, constraints: Mapping[str, Any]) -> bool:
    """Whether a host's CUDA version is among those allowed, or not below the floor."""
    if allowed := constraints.get("allowedCudaVersions"):
        return cuda in allowed
    floor = constraints.get("minCudaVersion")
    return not floor or version(cuda) >= version(floor)


def trouble(image: Image, host: Host, env: Mapping[str, str]) -> str:
    """The line that a container logs which cannot run where it was placed; "" for one that can."""
    if image.architecture != "amd64":
        return "exec /opt/modelyard/bin/python: exec format error"
    if image.cuda not in {"", "none"} and host.gpu and version(host.cuda) < version(image.cuda):
        return f"nvidia-container-cli: requirement error: unsatisfied condition: cuda>={image.cuda}"
    if env.get("MODELYARD_DEVICE") == "cuda" and (image.cuda == "none" or not host.gpu):
        return "device 'cuda': ONNX Runtime would run on CPUExecutionProvider instead"
    return ""
