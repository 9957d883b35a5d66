"""A training step as one CUDA graph: a small network is bound by the launches of its kernels, of which there is then one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UP = 3


def captured(learn: Callable[[Tensor], Tensor], batch: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """`learn` of `batch` indices, recorded at its first call and replayed from then on.

    The steps that CUDA wants before it records are real ones, on the batches that they are given. The loss that is returned
    is a copy: the graph writes the next one in its place. Autotuning is off, since the first recording took 19 s with it.
    """
    torch.backends.cudnn.benchmark = False
    indices = torch.zeros(batch, dtype=torch.long, device=device)
    side = torch.cuda.Stream()
    graph, done, losses = torch.cuda.CUDAGraph(), [0], list[Tensor]()

    def step(chosen: Tensor) -> Tensor:
        indices.copy_(chosen, non_blocking=True)
        if done[0] < _WARM_UP:
            done[0] += 1
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                loss = learn(indices)
            torch.cuda.current_stream().wait_stream(side)
            return loss.clone()
        if not losses:
            with torch.cuda.graph(graph):
                losses.append(learn(indices))
        graph.replay()
        return losses[0].clone()

    return step
