"""The ResNet-18 of the original plan, on 13 × 13, so that its old weights can still play.

It was trained on boards as they lie: one plane a colour and one for the side to move, policy in
board order, value as a win logit. In its world Blue moves first and joins top to bottom, and the
logit is Red's, the second mover's, who joins left to right. Here these two are called Red and Blue.
`ResNet18` wraps it so that it reads and answers in canonical form like every other network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hex_ai.errors import SettingError, ShapeError
from hex_ai.network.architecture import register_architecture
from hex_ai.network.torch_state import float32_made
from hex_ai.numbers import settle
from hex_ai.value_utils import from_win_logit, to_red_view

SIZE = 13


# Whose win the logit of the value head speaks for: the first mover, here Red, joins top to bottom.
FIRST, SECOND = "first mover", "second mover"


@dataclass(frozen=True)
class ResNet18Config:
    """Settings of `ResNet18`.

    Attributes:
      board_size: the side of its board, 13.
      win_logit_of: `second mover`, as the original has it, or `first mover`.
    """

    board_size: int = SIZE
    win_logit_of: str = SECOND

    def __post_init__(self) -> None:
        settle(self, ("board_size",))
        if self.board_size != SIZE:
            raise SettingError(f"resnet18 plays on {SIZE}x{SIZE} only, not {self.board_size}")
        if self.win_logit_of not in (FIRST, SECOND):
            raise SettingError(
                f"win_logit_of {self.win_logit_of!r} is neither {FIRST} nor {SECOND}"
            )

    @staticmethod
    def completed(config: dict[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a checkpoint, also of one from before `win_logit_of` was there.

        Every logit was taken for the first mover's then. Weights of the original came so with their
        values upside down, and are put right; what `hex-ai train` wrote had learnt it that way.
        """
        learnt_here = "games" in training
        return {"win_logit_of": FIRST if learnt_here else SECOND} | config


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions; the shortcut is a 1 × 1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Features `[B, inputs, H, W]` to `[B, outputs, H / stride, W / stride]`."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


@register_architecture("resnet18", ResNet18Config)
class ResNet18(nn.Module):
    """5 × 5 stem of 64, four stages of two blocks (64, 128, 256, 512), pooled linear heads."""

    heads = ("policy_head", "value_head")
    sees_colours = True
    # What the plan's programs, and torchvision, call some of these layers.
    other_names: ClassVar = {
        "^input_conv": "conv1",
        r"^input_bn1?\.": "bn1.",
        r"\.downsample\.": ".shortcut.",
    }

    @float32_made()
    def __init__(self, config: ResNet18Config) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv2d(3, 64, 5, 1, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, 1)
        self.layer2 = _stage(64, 128, 2)
        self.layer3 = _stage(128, 256, 2)
        self.layer4 = _stage(256, 512, 2)
        self.policy_head = nn.Linear(512, SIZE * SIZE)
        self.value_head = nn.Linear(512, 1)

    @property
    def value_source(self) -> str:
        """Where its values come from, for people who import weights."""
        edges = {FIRST: "Red, top to bottom", SECOND: "Blue, left to right"}
        who = self.config.win_logit_of
        return f"the value head's logit is taken for a win of the {who} ({edges[who]})"

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Canonical planes to canonical policy logits `[B, 169]` and the mover's values `[B]`.

        Args:
          planes: `[B, 3, 15, 15]`, the third one says who is to move. With two planes it is the
            player who would be in a game without a swap: Red, if there are equally many stones.

        Raises:
          ShapeError: another board size than 13.
        """
        if planes.shape[-1] != SIZE + 2:
            raise ShapeError(f"resnet18 plays on {SIZE}x{SIZE} only, not {planes.shape[-1] - 2}")
        seen = planes[:, :, 1:-1, 1:-1]
        mover, opponent = seen[:, 0], seen[:, 1]
        if planes.shape[1] == 2:
            blue = opponent.sum((1, 2)) > mover.sum((1, 2))
        else:
            blue = seen[:, 2, 0, 0] > 0
        blue_cells = blue[:, None, None]
        red_stones = torch.where(blue_cells, opponent.transpose(-2, -1), mover)
        blue_stones = torch.where(blue_cells, mover.transpose(-2, -1), opponent)
        side = blue_cells.to(seen.dtype).expand_as(mover)
        policy, win_logit = self.board_view(torch.stack((red_stones, blue_stones, side), 1))
        cells = policy.view(-1, SIZE, SIZE)
        logits = torch.where(blue_cells, cells.transpose(-2, -1), cells).flatten(1)
        sign = 1 if self.config.win_logit_of == FIRST else -1
        return logits, to_red_view(from_win_logit(sign * win_logit), blue)

    def board_view(self, planes: Tensor) -> tuple[Tensor, Tensor]:
        """The original network: Red, Blue and side planes `[B, 3, 13, 13]`, the side 1 for Blue.

        Returns policy logits `[B, 169]` in board order and the win logit `[B]`.
        """
        x = torch.relu(self.bn1(self.conv1(planes)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = x.mean((2, 3), dtype=self.policy_head.weight.dtype)
        return self.policy_head(x), self.value_head(x).flatten()


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
