"""Heads of one shape as one: their weights lie in one tensor, a step of all is computed at once."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.noise import Noise
from emoji_lightning.stacking.head_run import HeadRun, Step

STACKED_OPTIONS = ("lr", "weight_decay", "dropout", "warmup", "class_weights")
"""Options that each head of a stack may have its own of: they reach a step as tensors or through the optimiser."""

Named = dict[str, Tensor]


class _Loss(nn.Module):
    """`loss_of` of a model, as a module that `functional_call` can call."""

    def __init__(self, model: EmojiClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, labels: Tensor, noise: Noise) -> Tensor:
        return self.model.loss_of(embeddings, labels, noise)


class Stack:
    """H heads whose parameters and buffers are views of stacked tensors (H, ...), with AdamW over these.

    Args:
        runs: The heads; of one shape, and alike in all options but `STACKED_OPTIONS`.
    """

    def __init__(self, runs: Sequence[HeadRun]) -> None:
        self.runs = list(runs)
        self._loss = _Loss(runs[0].model)
        self._num_steps = 0
        losses = [_Loss(run.model) for run in runs]
        self._parameters = _stack([dict(_learning(each)) for each in losses])
        self._buffers = _stack([dict(each.named_buffers()) for each in losses])
        self._means = {name: torch.zeros_like(each) for name, each in self._parameters.items()}
        self._squares = {name: torch.zeros_like(each) for name, each in self._parameters.items()}
        self._point()

    def keep(self, places: Sequence[int]) -> None:
        """Let all heads go but those at these places."""
        for run in self.runs:  # whoever leaves takes its weights along
            for tensor in (*run.model.parameters(), *run.model.buffers()):
                tensor.data = tensor.data.clone()
        self.runs = [self.runs[place] for place in places]
        index = torch.tensor(places, dtype=torch.int64)
        for held in (self._parameters, self._buffers, self._means, self._squares):
            held.update({name: tensor[index.to(tensor.device)] for name, tensor in held.items()})
        if self.runs:
            self._loss = _Loss(self.runs[0].model)
            self._point()

    def step(self, steps: Sequence[Step]) -> None:
        """Take a step of every head; those with batches of one size are computed at once."""
        by_size: dict[int, list[int]] = {}
        for place, step in enumerate(steps):
            by_size.setdefault(len(step.batch.label), []).append(place)
        found = [self._gradients(places, [steps[place] for place in places]) for places in by_size.values()]
        if len(found) == 1:
            self._adamw(found[0])
            return
        gradients = {name: torch.empty_like(each) for name, each in self._parameters.items()}
        for places, group in zip(by_size.values(), found, strict=True):
            for name, gradient in group.items():
                gradients[name][places] = gradient
        self._adamw(gradients)

    def _gradients(self, places: Sequence[int], steps: Sequence[Step]) -> Named:
        def loss(parameters: Named, buffers: Named, embeddings: Tensor, labels: Tensor, noise: Noise) -> Tensor:
            value: Tensor = functional_call(self._loss, (parameters, buffers), (embeddings, labels, noise))
            return value

        array = self.runs[0].embeddings
        device = array.device
        rows = torch.stack([step.batch.row for step in steps]).to(device)
        labels = torch.stack([step.batch.label for step in steps]).to(device)
        noise = tree_map(lambda *each: torch.stack(each), *(step.noise for step in steps))
        parameters, buffers = self._parameters, self._buffers
        if len(places) < len(self.runs):
            index = torch.tensor(places, device=device)
            parameters = {name: tensor[index] for name, tensor in parameters.items()}
            buffers = {name: tensor[index] for name, tensor in buffers.items()}
        found: Named = vmap(grad(loss))(parameters, buffers, array[rows], labels, noise)
        return found

    def _adamw(self, gradients: Named) -> None:
        """Step as `torch.optim.AdamW` does, each head with its own rate and decay.

        Source: Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2.
        """
        groups = [_groups_by_name(run, self._num_steps) for run in self.runs]
        self._num_steps += 1
        for name, weight in self._parameters.items():
            own = [each[name] for each in groups]
            (beta1, beta2), eps = own[0]["betas"], own[0]["eps"]
            wide = (-1, *[1] * (weight.ndim - 1))
            rates = torch.tensor(
                [[each["lr"], each["lr"] * each["weight_decay"]] for each in own], device=weight.device
            )
            gradient, mean, square = gradients[name], self._means[name], self._squares[name]
            weight.mul_(1 - rates[:, 1].view(wide))
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            bias1, bias2 = 1 - beta1**self._num_steps, 1 - beta2**self._num_steps
            divisor = (square.sqrt() / math.sqrt(bias2)).add_(eps)
            weight.sub_((mean / divisor).mul_((rates[:, 0] / bias1).view(wide)))

    def _point(self) -> None:
        """Make the heads' own parameters and buffers views of the stacked ones."""
        for place, run in enumerate(self.runs):
            loss = _Loss(run.model)
            for name, parameter in _learning(loss):
                parameter.data = self._parameters[name][place]
            for name, buffer in loss.named_buffers():
                buffer.data = self._buffers[name][place]


def _learning(loss: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield what the optimiser changes: the head itself is assembled of it, and stays out of the stack."""
    return ((name, parameter) for name, parameter in loss.named_parameters() if parameter.requires_grad)


def _stack(named: Sequence[Named]) -> Named:
    return {name: torch.stack([each[name].detach() for each in named]) for name in named[0]}


def _groups_by_name(run: HeadRun, step: int) -> dict[str, dict[str, Any]]:
    """Return the options of the optimiser for each parameter of a head at a step, as its schedule has them."""
    found: dict[str, dict[str, Any]] = {}
    schedule = run.scheduler
    for group, base, factor in zip(run.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        options = {**group, "lr": base * factor(step)}
        found |= {run.names[id(parameter)]: options for parameter in group["params"]}
    return found
