"""What all contenders share: the setup, the network, and the games that measurements start in."""

import copy
from dataclasses import dataclass
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan, default_plan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.tuning import plan_for_games
from hex_ai.network.architecture import for_inference
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings

# Games whose plies the slots start at, as in `hex-ai bench`.
SAMPLE_GAMES = 32

# How far two float32 networks with the same weights may lie apart.
TOLERANCE = 1e-4

# What is measured: a contender, and one of several settings of it, of which the best one counts.
Variant = tuple[str, str]


class PeerError(Exception):
    """A comparison that cannot be made, or would not be an equal one. The message is one line."""


class PeerAbsentError(PeerError):
    """A peer that cannot take part: it is not installed, or does not play on such boards."""


@dataclass(frozen=True)
class Setup:
    """What is compared.

    Attributes:
      board_size, search_widths: of the games; the widths decide the evaluations of a move.
      channels, blocks, seed: of the network, which is a random one.
      seconds: of each measurement.
      games_in_flight: of our modes that have many.
      batch_sizes: games in a batch that are tried where a peer plays in batches.
      device: `cpu` or `cuda`, of hex_ai and of JAX; OpenSpiel always runs on the processor.
      precision: of our network, or `auto`.
    """

    board_size: int
    search_widths: tuple[int, ...]
    channels: int
    blocks: int
    seed: int
    seconds: float
    games_in_flight: int
    batch_sizes: tuple[int, ...]
    device: str = "cpu"
    precision: str = "auto"

    @property
    def evaluations(self) -> int:
        """Positions that our search asks about for a move: the root and every node below it."""
        widths = (min(width, self.board_size**2) for width in self.search_widths)
        return 1 + sum(accumulate(widths, mul))

    @property
    def plan(self) -> InferencePlan:
        """How our own modes run the network: as self-play does, in the precision asked for."""
        return plan_for_games(make_network(self), self.device, "auto", self.precision)


@torch.no_grad()
def make_network(setup: Setup) -> HexNetwork:
    """The network that everybody plays with.

    New blocks are the identity, which would hide a wrong copy of their weights. So the norms get
    random weights, and the statistics of random boards, which keep features near 1 at any depth.
    """
    torch.manual_seed(setup.seed)
    network = HexNetwork(NetworkConfig(setup.channels, setup.blocks)).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            module.momentum = 1.0
    network((torch.rand(64, 2, setup.board_size + 2, setup.board_size + 2) < 0.3).float())
    return network.eval()


def eager_network(setup: Setup) -> nn.Module:
    """The same network in float32 with its norms folded, for single rows without a compiler."""
    return for_inference(make_network(setup)).to(memory_format=torch.channels_last)


def sample_games(network: nn.Module, setup: Setup) -> list[list[int]]:
    """Games by the bare policy, without swap, as cells of the board as it lies."""
    plan = default_plan(torch.device("cpu"), runtime="eager")
    runner = Runner(
        ModelInference(copy.deepcopy(network), plan),
        SelfPlaySettings(setup.board_size, (1,), setup.seed, swap=False),
        games_in_flight=SAMPLE_GAMES,
    )
    games = [game for ended in runner.play(range(SAMPLE_GAMES)) for game in ended]
    return [game.moves.tolist() for game in sorted(games, key=lambda game: game.game_id)]


def staggered_openings(games: list[list[int]], slots: int) -> list[list[int]]:
    """The moves before each slot's first ply, evenly spread from the first to the last ply."""
    openings = []
    for slot in range(slots):
        game = games[slot % len(games)]
        openings.append(game[: int((slot + 0.5) / slots * len(game))])
    return openings


def positions_after(openings: list[list[int]], size: int) -> Positions:
    """Our positions after these moves, one game a row."""
    rows = []
    for moves in openings:
        position = Positions.empty(1, size)
        for cell in moves:
            position = position.play(position.to_board_cells(torch.tensor([cell])))
        rows.append(position)
    return Positions.cat(rows)


def real_boards(logits: Tensor, positions: Positions) -> Tensor:
    """Logits `[B, A]` of cells as the mover sees them, put as the board lies."""
    boards = logits.unflatten(1, (positions.size, positions.size))
    return torch.where(positions.blue_to_move[:, None, None], boards.mT, boards).flatten(1)


def require_equal(differences: list[Tensor], name: str) -> float:
    """The largest difference between a peer's outputs and ours.

    Raises:
      PeerError: it is above the tolerance, or not a number.
    """
    worst = max(float(difference.abs().max()) for difference in differences)
    if not worst <= TOLERANCE:
        raise PeerError(f"{name} does not give the network's outputs: they differ by {worst:.2g}")
    return worst
