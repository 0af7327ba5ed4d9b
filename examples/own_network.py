"""A network of your own plays against itself.

python examples/own_network.py [FOLDER]      writes tiny.safetensors and games/ into the folder

The file also serves the commands: hex-ai selfplay --model FOLDER/tiny.safetensors
--architecture-module examples/own_network.py
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hex_ai import SelfPlayEngine, register_architecture, save_checkpoint


@dataclass(frozen=True)
class TinyConfig:
    channels: int = 16


@register_architecture("tiny", TinyConfig)
class Tiny(nn.Module):
    """One convolution and two heads, for any board size."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__()
        self.config = config
        self.body = nn.Conv2d(2, config.channels, 3)  # takes the rim away
        self.policy = nn.Conv2d(config.channels, 1, 3, padding=1)
        self.value = nn.Linear(config.channels, 1)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.relu(self.body(planes))
        return self.policy(x).flatten(1), torch.tanh(self.value(x.mean((2, 3)))).flatten()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "own_network")
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    save_checkpoint(folder / "tiny.safetensors", Tiny(TinyConfig()), {"by": "an example"})
    engine = SelfPlayEngine(
        folder / "tiny.safetensors", board_size=5, runtime="eager", output_dir=folder / "games"
    )
    for game in engine.generate_games(10):
        print(game.game_id, len(game.moves), "red" if game.winner == 1 else "blue")


if __name__ == "__main__":
    main()
