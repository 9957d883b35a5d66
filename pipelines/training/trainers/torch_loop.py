"""The loop that trains a classifier whose images fit into memory: a budget of steps, watched on val, taken up where it was.

The images are on the device as bytes; cropping, colour and batching happen there. The learning rate warms up, stays, and
falls to nothing over the last third; where val has stopped improving it falls at once, and training ends early. What is kept is
a running mean of the weights: that of the end, unless val clearly prefers an earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.training.trainers.augment import Augmentation, augment
from pipelines.training.trainers.budget import Plan
from pipelines.training.trainers.images import Images
from pipelines.training.trainers.state import Saved, StateFile

_WARM_UP, _COOL_DOWN = 0.1, 0.4
_PATIENCE = 0.25
"""Of the planned steps: val has not improved for so long."""
_BETTER = 0.99
"""Of the lowest loss so far: less is no improvement worth waiting for."""
_SMOOTHING = 0.05
_AVERAGING = 0.99
_CLEARLY = 1.0
"""Standard errors of val's accuracy by which an earlier state must beat the last one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained. `rates` is the highest learning rate; a network's groups of layers scale it."""

    rate: float = 0.004
    decay: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Groups:
    """Parameters that learn at a share of the recipe's rate: 1 for what is new, less for what has learnt before."""

    parameters: Sequence[tuple[float, list[nn.Parameter]]]

    @classmethod
    def of(cls, network: nn.Module, head: str | None) -> Groups:
        """All alike, or, where a head is named, three thirds of the backbone at 0.03, 0.1 and 0.3 of the head's rate."""
        if head is None:
            return cls([(1.0, list(network.parameters()))])
        backbone = [parameter for name, parameter in network.named_parameters() if not name.startswith(f"{head}.")]
        new = [parameter for name, parameter in network.named_parameters() if name.startswith(f"{head}.")]
        third = -(-len(backbone) // 3)
        parts = [(share, backbone[index * third : (index + 1) * third]) for index, share in enumerate((0.03, 0.1, 0.3))]
        return cls([*((share, part) for share, part in parts if part), (1.0, new)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended: val's loss and top-1 of the weights that the network has now (NaN without val), and why."""

    loss: float
    top1: float
    steps: int
    why: str


Report = Callable[[int, dict[str, float]], None]
NotFinite = Callable[[int, Sequence[int], float], Exception]
"""The error for a step, the images of its batch, and its loss, which is no finite number."""


class Loop:
    """One network's training. `train` leaves the chosen weights in the network."""

    def __init__(self, network: nn.Module, groups: Groups, recipe: Recipe, plan: Plan) -> None:
        """`network` maps `[N, 3, S, S]` in 0..1 to logits, and is on the device that trains."""
        self._network, self._recipe, self._plan = network, recipe, plan
        self._device = next(network.parameters()).device
        on_gpu = self._device.type == "cuda"
        options: dict[str, Any] = {"capturable": True} if on_gpu else {"fused": self._device.type == "cpu"}
        parameters: list[dict[str, Any]] = [{"params": part, "lr": 0.0, "share": share} for share, part in groups.parameters]
        for group in parameters if on_gpu else ():
            group["lr"] = torch.zeros((), device=self._device)  # a captured step reads it from there
        self._optimizer = torch.optim.AdamW(parameters, weight_decay=recipe.decay, **options)
        current = network.state_dict()
        self._mean = {name: value.detach().clone() for name, value in current.items()}
        # These are the network's own tensors, which training changes in place: asking for them each step took as long as AdamW.
        floats = [name for name, value in current.items() if value.dtype.is_floating_point]
        self._averaged_weights = [current[name] for name in floats], [self._mean[name] for name in floats]
        self._counters = [(current[name], self._mean[name]) for name in current.keys() - set(floats)]
        self._order = torch.Generator().manual_seed(recipe.seed)
        self._queue = torch.empty(0, dtype=torch.long)
        self._share = torch.ones((), device=self._device)
        self._saved = Saved(end=plan.steps)

    def train(self, train: Images, val: Images, report: Report, broken: NotFinite, state: StateFile | None = None) -> Outcome:
        """Run the plan's steps. Raises what `broken` makes where the loss is no number."""
        saved, plan = self._saved, self._plan
        torch.manual_seed(self._recipe.seed)
        if state and (former := state.read()):
            self._restore(former)
            saved = self._saved
        step = self._step_of(train)
        losses, batches = list[Tensor](), list[Tensor]()
        while saved.step < saved.end:
            self._set_rate(saved.step)
            self._share.fill_(1 - min(_AVERAGING, (1 + saved.step) / (10 + saved.step)))  # a short training averages less
            batch = self._draw(len(train.targets))
            losses.append(step(batch))
            batches.append(batch)
            saved.step += 1
            if saved.step % plan.steps_per_report and saved.step < saved.end:
                continue
            loss = self._checked(losses, batches, broken)
            losses, batches = [], []
            self._after(loss, val, report)
            if state and saved.step < saved.end and state.is_due:
                state.write(self._state())
        return self._choose(val)

    def _after(self, loss: float, val: Images, report: Report) -> None:
        """Measure on val, keep the best, report, and begin to cool down where val has stopped improving."""
        saved, plan = self._saved, self._plan
        val_loss, top1 = score(self._averaged(), val, plan.batch)
        metrics = {"train_loss": loss}
        if len(val.targets):
            metrics |= {"val_loss": val_loss, "val_top1": top1}
            if (top1, -val_loss) >= (saved.best_top1, -saved.best_loss):
                saved.best_top1, saved.best_loss, saved.best_step = top1, val_loss, saved.step
                saved.best = {name: value.detach().clone() for name, value in self._mean.items()}
            if val_loss < _BETTER * saved.lowest:
                saved.lowest, saved.lowest_step = val_loss, saved.step
        saved.last_top1, saved.last_loss = top1, val_loss
        report(min(saved.step // plan.steps_per_epoch, plan.epochs), metrics)
        stale = saved.step - saved.lowest_step > _PATIENCE * plan.steps
        if not plan.fixed and len(val.targets) and stale and saved.step < saved.cooling(plan.steps, _COOL_DOWN):
            saved.cool_from = saved.step
            saved.end = min(plan.steps, saved.step + round(_COOL_DOWN / 2 * plan.steps))

    def _step_of(self, train: Images) -> Callable[[Tensor], Tensor]:
        """One step on the images of some indices, which gives its loss."""
        if self._device.type == "cuda":
            from pipelines.training.trainers.cuda_graph import captured

            return captured(lambda batch: self._learn(train, batch), self._plan.batch, self._device)
        return lambda batch: self._learn(train, batch)

    def _learn(self, train: Images, batch: Tensor) -> Tensor:
        self._network.train()
        images = augment(train.pixels[batch].float() / 255, self._recipe.augmentation)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda", cache_enabled=False):
            logits = self._network(images)
        loss = functional.cross_entropy(logits.float(), train.targets[batch], label_smoothing=_SMOOTHING)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._average()
        return loss.detach()

    def _average(self) -> None:
        """The running mean of the weights; what is counted in whole numbers is copied."""
        current, means = self._averaged_weights
        further = torch._foreach_sub(current, means)  # noqa: SLF001
        torch._foreach_mul_(further, self._share)
        torch._foreach_add_(means, further)
        for value, mean in self._counters:
            mean.copy_(value)

    def _draw(self, images: int) -> Tensor:
        """The next indices of a stream of shuffled passes."""
        while len(self._queue) < self._plan.batch:
            self._queue = torch.cat([self._queue, torch.randperm(images, generator=self._order)])
        batch, self._queue = self._queue[: self._plan.batch], self._queue[self._plan.batch :]
        return batch

    def _set_rate(self, step: int) -> None:
        """Up, level, and down to nothing at the end."""
        saved, warm = self._saved, max(1.0, _WARM_UP * self._plan.steps)
        cool = saved.cooling(self._plan.steps, _COOL_DOWN)
        left = (saved.end - step) / max(1, saved.end - cool)
        rate = self._recipe.rate * min(1.0, (step + 1) / warm, max(left, 0.0))
        for group in self._optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * group["share"])
            else:
                group["lr"] = rate * group["share"]

    def _checked(self, losses: list[Tensor], batches: list[Tensor], broken: NotFinite) -> float:
        """The mean loss since the last report. On a GPU asking after each step would cost more than the step."""
        values = torch.stack(losses).float().cpu()
        bad = (~torch.isfinite(values)).nonzero()
        if len(bad):
            first = int(bad[0])
            raise broken(self._saved.step - len(losses) + first + 1, batches[first].tolist(), float(values[first]))
        if not all(bool(value.isfinite().all()) for value in self._averaged_weights[0]):
            # the loss was a number, and what was learnt from it is none: no further step would show it at the end
            raise broken(self._saved.step, batches[-1].tolist(), math.nan)
        return float(values.mean())

    def _averaged(self) -> nn.Module:
        """The network with the mean weights, to be put back by whoever is done with it: see `score`."""
        return _WithWeights(self._network, self._mean)

    def _choose(self, val: Images) -> Outcome:
        """The mean weights of the end, unless an earlier state was clearly better on val."""
        saved = self._saved
        early = saved.end < self._plan.steps
        why = "val stopped improving" if early else "all planned steps"
        error = math.sqrt(max(saved.best_top1 * (1 - saved.best_top1), 1e-12) / max(1, len(val.targets)))
        if saved.best and saved.best_top1 - saved.last_top1 > _CLEARLY * max(error, 1 / max(1, len(val.targets))):
            self._network.load_state_dict(saved.best)
            return Outcome(saved.best_loss, saved.best_top1, saved.step, f"{why}; kept step {saved.best_step}, best on val")
        self._network.load_state_dict(self._mean)
        return Outcome(saved.last_loss, saved.last_top1, saved.step, why)

    def _state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "network": self._network.state_dict(),
            "mean": self._mean,
            "optimizer": self._optimizer.state_dict(),
            "queue": self._queue,
            "order": self._order.get_state(),
            "random": torch.get_rng_state(),
            "saved": self._saved.document(),
            "best": self._saved.best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        for name, value in state["mean"].items():
            self._mean[name].copy_(value)
        self._optimizer.load_state_dict(state["optimizer"])
        self._queue = state["queue"]
        self._order.set_state(state["order"])
        torch.set_rng_state(state["random"])
        self._saved = Saved(**state["saved"], best=state["best"])


class _WithWeights(nn.Module):
    """A network that answers with other weights, without a copy of itself."""

    def __init__(self, network: nn.Module, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._network, self._weights = network, weights

    def forward(self, images: Tensor) -> Tensor:
        return torch.func.functional_call(self._network, self._weights, (images,))


def score(network: nn.Module, images: Images, batch: int) -> tuple[float, float]:
    """Mean loss and top-1 without augmentation; NaN of no images."""
    if not len(images.targets):
        return math.nan, math.nan
    network.eval()
    for part in network.children():
        part.eval()
    with torch.no_grad():
        logits = torch.cat([network(part.float() / 255).float() for part in images.pixels.split(max(batch, 64))])
    top1 = (logits.argmax(1) == images.targets).float().mean().item()
    return functional.cross_entropy(logits, images.targets).item(), top1
