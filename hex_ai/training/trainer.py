"""Fits a network to samples: one optimiser, one running average of the weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from hex_ai.training.samples import Samples

# Keeps about the last 100 steps in the average.
AVERAGE_DECAY = 0.99

# Batches that batch-norm statistics are estimated from before they are frozen.
ESTIMATING_BATCHES = 64


@dataclass(frozen=True)
class Losses:
    """Means over a call of `Trainer.fit`: cross entropy of the policy, in nats, above the target's
    own entropy; squared error of the value; and the target's own entropy."""

    policy: float
    value: float
    entropy: float


class Trainer:
    """Trains `network` in place and keeps an exponential average of its weights.

    The average is what plays and what is saved: `average_network`.

    Args:
      network: on any device.
      learning_rate: of the first step.
      weight_decay: of AdamW.
      mixed: forward and backward in bfloat16 where that is safe; weights stay float32. Worth it
        where the hardware multiplies bfloat16, see `multiplies_bfloat16`.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        weight_decay: float = 1e-4,
        *,
        mixed: bool = False,
    ) -> None:
        self.network, self._mixed = network, mixed
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        self._average = AveragedModel(network, multi_avg_fn=_average, use_buffers=True)
        self._frozen_norms = False

    def state_dict(self) -> dict[str, Any]:
        """All that decides further steps: weights, their average, and the optimiser's memory."""
        return {
            "network": self.network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to what `state_dict` gave."""
        self.network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])

    @property
    def average_network(self) -> nn.Module:
        """The averaged network; not a copy."""
        module: nn.Module = self._average.module
        return module

    def is_finite(self) -> bool:
        """Whether all weights are, those that learn and their average."""
        tensors = [*self.network.state_dict().values(), *self._average.state_dict().values()]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Used from the next step on."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def fit(
        self,
        samples: Sequence[tuple[float, Samples]],
        steps: int,
        batch: int,
        generator: torch.Generator,
        *,
        frozen_norms: bool = False,
    ) -> Losses:
        """Takes `steps` steps on random batches, each sample rotated by 180° or not by chance.

        `samples` has a weight and the samples of each board size; the size of a batch is drawn by
        weight. Sizes must take turns within a call: batch norms keep the statistics of the latest
        batches, and those of 5 × 5 alone make a bad network for 11 × 11.

        A step normalises a batch by the statistics of its own board size, but those that play are
        of all sizes. With `frozen_norms`, these are estimated anew once and kept from then on, so
        that learning sees the network as playing does: slower at first, better at the end.
        """
        self._set_norms(frozen_norms, samples, batch, generator)
        totals = torch.zeros(3, dtype=torch.float32, device=self._device)
        for drawn in _batches(samples, steps, batch, generator):
            chosen = drawn.to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
                logits, values = self.network(_planes(chosen))
            policy, value = _losses(logits.float(), values.float(), chosen)
            self.optimizer.zero_grad(set_to_none=True)
            (policy + value).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self._average.update_parameters(self.network)
            totals += torch.stack((policy.detach(), value.detach(), _entropy(chosen)))
        return Losses(*(totals / max(steps, 1)).tolist())

    def _set_norms(
        self,
        frozen: bool,
        samples: Sequence[tuple[float, Samples]],
        batch: int,
        generator: torch.Generator,
    ) -> None:
        """Puts the network in training mode, and its batch norms with it unless they are frozen."""
        self.network.train()
        if frozen and not self._frozen_norms:
            batches = _batches(samples, ESTIMATING_BATCHES, batch, generator)
            update_bn((_planes(drawn.to(self._device)) for drawn in batches), self.network)
            pairs = zip(_norms(self.average_network), _norms(self.network), strict=True)
            for averaged, norm in pairs:
                averaged.load_state_dict(averaged.state_dict() | dict(norm.named_buffers()))
        self._frozen_norms = frozen
        for norm in _norms(self.network):
            norm.train(not frozen)

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def _batches(
    samples: Sequence[tuple[float, Samples]], count: int, batch: int, generator: torch.Generator
) -> Iterator[Samples]:
    """Random batches, each of one board size, samples rotated by 180° or not by chance."""
    weights = torch.tensor([float(weight) for weight, _ in samples], dtype=torch.float32)
    kinds = torch.multinomial(weights, max(count, 1), replacement=True, generator=generator)
    for kind in kinds[:count].tolist():
        some = samples[kind][1]
        rows = torch.randint(len(some), (batch,), generator=generator)
        rotate = torch.rand(batch, generator=generator, dtype=torch.float32) < 0.5
        yield some.rows(rows).rotated(rotate)


def _norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def losses(network: nn.Module, samples: Samples) -> Losses:
    """What a network's loss on samples is, as it stands."""
    samples = samples.to(next(network.parameters()).device)
    logits, values = network(_planes(samples))
    policy, value = _losses(logits, values, samples)
    return Losses(float(policy), float(value), float(_entropy(samples)))


def _entropy(samples: Samples) -> Tensor:
    """Mean entropy of the target policies, in nats."""
    entropies: Tensor = torch.special.entr(samples.policy).sum(1)
    return entropies.mean()


def _average(averaged: Any, current: Any, steps: Tensor | int) -> None:
    """Moves the average towards the current weights; the first steps count for less time."""
    decay = min(AVERAGE_DECAY, (1 + int(steps)) / (10 + int(steps)))
    get_ema_multi_avg_fn(decay)(averaged, current, steps)  # type: ignore[no-untyped-call]


def _planes(samples: Samples) -> Tensor:
    return samples.planes.float().contiguous(memory_format=torch.channels_last)


def _losses(logits: Tensor, values: Tensor, samples: Samples) -> tuple[Tensor, Tensor]:
    # Occupied cells take no part: search never asks for them.
    occupied = samples.planes[:, :2, 1:-1, 1:-1].sum(1).flatten(1) > 0
    log_policy = logits.masked_fill(occupied, -1e9).log_softmax(1)
    cross = functional.kl_div(log_policy, samples.policy, reduction="batchmean")
    return cross, functional.mse_loss(values, samples.values)
