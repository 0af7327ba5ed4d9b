"""A network of one's own: registered by name, saved as a checkpoint, and played with.

    python examples/own_network.py

The commands take it, too:

    hex-ai selfplay --model tiny.safetensors --architecture-module examples/own_network.py
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hex_ai import SelfPlayEngine, register_architecture, save_checkpoint


@dataclass(frozen=True)
class TinyConfig:
    """Settings of `Tiny`: plain numbers, which the checkpoint keeps."""

    channels: int = 16


@register_architecture("tiny", TinyConfig)
class Tiny(nn.Module):
    """One convolution; planes `[B, 2, N + 2, N + 2]` to logits `[B, N * N]` and values `[B]`."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.body = nn.Conv2d(2, config.channels, 3)
        self.policy = nn.Conv2d(config.channels, 1, 1)
        self.value = nn.Linear(config.channels, 1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Raw logits and values in [-1, 1], both as the mover sees them."""
        x = torch.relu(self.body(planes))
        return self.policy(x).flatten(1), torch.tanh(self.value(x.mean((2, 3)))).flatten()


def main() -> None:
    """Saves an untrained network, and plays four games with it."""
    torch.manual_seed(0)
    save_checkpoint("tiny.safetensors", Tiny(TinyConfig(channels=32)), {"by": "an example"})
    engine = SelfPlayEngine("tiny.safetensors", board_size=5, seed=1, runtime="eager")
    for game in engine.generate_games(4):
        print(f"game {game.game_id}: {len(game.moves)} moves, winner {game.winner:+d}")


if __name__ == "__main__":
    main()
