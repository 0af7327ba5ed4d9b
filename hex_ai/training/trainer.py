"""Fits a network to samples: one optimiser, one running average of the weights."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hex_ai.training.samples import Samples

# Keeps about the last 100 steps in the average.
AVERAGE_DECAY = 0.99


@dataclass(frozen=True)
class Losses:
    """Means over a call of `Trainer.fit`: cross entropy of the policy, in nats, above the target's
    own entropy, and squared error of the value."""

    policy: float
    value: float


class Trainer:
    """Trains `network` in place and keeps an exponential average of its weights.

    The average is what plays and what is saved: `average_network`.
    """

    def __init__(
        self, network: nn.Module, learning_rate: float, weight_decay: float = 1e-4
    ) -> None:
        self.network = network
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        self._average = AveragedModel(
            network,
            multi_avg_fn=get_ema_multi_avg_fn(AVERAGE_DECAY),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )

    @property
    def average_network(self) -> nn.Module:
        """The averaged network; not a copy."""
        module: nn.Module = self._average.module
        return module

    def set_learning_rate(self, learning_rate: float) -> None:
        """Used from the next step on."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def fit(self, samples: Samples, steps: int, batch: int, generator: torch.Generator) -> Losses:
        """Takes `steps` steps on random batches, each sample turned by 180° or not by chance."""
        self.network.train()
        totals = torch.zeros(2)
        for _ in range(steps):
            rows = torch.randint(len(samples), (batch,), generator=generator)
            turn = torch.rand(batch, generator=generator) < 0.5
            policy, value = _losses(self.network, samples.rows(rows).turned(turn))
            self.optimizer.zero_grad(set_to_none=True)
            (policy + value).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            self._average.update_parameters(self.network)
            totals += torch.stack((policy.detach(), value.detach()))
        mean = totals / max(steps, 1)
        return Losses(float(mean[0]), float(mean[1]))


def _losses(network: nn.Module, samples: Samples) -> tuple[Tensor, Tensor]:
    planes = samples.planes.float().contiguous(memory_format=torch.channels_last)
    logits, values = network(planes)
    # Occupied cells take no part: search never asks for them.
    occupied = samples.planes[:, :, 1:-1, 1:-1].sum(1).flatten(1) > 0
    log_policy = logits.masked_fill(occupied, -1e9).log_softmax(1)
    cross = functional.kl_div(log_policy, samples.policy, reduction="batchmean")
    return cross, functional.mse_loss(values, samples.values)
