"""What the double lists as hardware, in the shapes that huggingface_hub 2.4 reads: example prices."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_COMPUTES = {"intel-spr": ("cpu", 0.034), "nvidia-t4": ("gpu", 0.52), "nvidia-l4": ("gpu", 0.81)}
_JOBS = {"cpu-basic": 167, "t4-small": 6_667, "l4x1": 13_333}


async def endpoints(_: Request) -> Response:
    """GET /v2/provider/{namespace}."""
    computes = [_compute(kind, size) for kind in _COMPUTES for size in (1, 2)]
    regions = [{"name": name, "label": name, "computes": computes} for name in ("us-east-1", "eu-west-1")]
    return JSONResponse({"vendors": [{"name": "aws", "regions": regions}]})


async def jobs(_: Request) -> Response:
    """GET /api/jobs/hardware."""
    return JSONResponse([_job(name, micro) for name, micro in _JOBS.items()])


def _compute(kind: str, size: int) -> dict[str, Any]:
    accelerator, price = _COMPUTES[kind]
    return {
        "id": f"aws-us-east-1-{kind}-x{size}",
        "accelerator": accelerator,
        "instanceType": kind,
        "instanceSize": f"x{size}",
        "architecture": kind,
        "numAccelerators": size,
        "numCpus": size,
        "memoryGb": 2.0 * size,
        "pricePerHour": price * size,
        "status": "available",
        "quota": {"maxAccelerators": 8, "usedAccelerators": 0},
    }


def _job(name: str, micro: int) -> dict[str, Any]:
    return {
        "name": name,
        "prettyName": name,
        "cpu": "2 vCPU",
        "ram": "16 GB",
        "accelerator": None,
        "unitCostMicroUSD": micro,
        "unitCostUSD": micro / 1e6,
        "unitLabel": "minute",
    }
