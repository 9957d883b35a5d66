"""Networks that nobody trained and that tell pictures apart all the same: what exports and engines are compared on."""

from __future__ import annotations

import torch
from torch import nn


class Probabilities(nn.Module):
    """A network with its softmax."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images).softmax(1)


def sharpened(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """An untrained network whose last layer is set so that it tells these pictures apart."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # plain averages, so that two looks are enough
    with torch.no_grad():
        for _ in range(2):
            network(images)
        network.eval()
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        seen = network(images)
        gain = 1.5 / seen.std(0)
        last.weight.mul_(gain[:, None])
        last.bias.sub_(seen.mean(0)).mul_(gain)
    return Probabilities(network)
