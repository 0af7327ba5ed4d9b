"""What all contenders share: a network, positions of real games, and eager float32's answers."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.model_inference import ModelInference
from hex_ai.network.architecture import architecture, architecture_of, config_of, for_inference
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.store.replay import replay

GAMES = 64
CALIBRATION_POSITIONS = 512
CHUNK = 64


@dataclass(frozen=True)
class Job:
    """A network and `P` positions, a whole number of chunks of `CHUNK`.

    Attributes:
      network: ready for evaluation, float32.
      planes: float32 `[P, 2, N + 2, N + 2]`.
      legal: bool `[P, N * N]`.
      logits, values: `[P, N * N]` and `[P]`, as eager float32 answers.
      calibration: planes from other games `[C, 2, N + 2, N + 2]`.
    """

    network: nn.Module
    planes: Tensor
    legal: Tensor
    logits: Tensor
    values: Tensor
    calibration: Tensor


def make_job(network: nn.Module, size: int, count: int) -> Job:
    """Plays games by the bare policy and lets eager float32 answer their positions."""
    positions = _positions(network, size, count, seed=0)
    calibration = _positions(network, size, CALIBRATION_POSITIONS, seed=1)
    ready = for_inference(copy.deepcopy(network))
    planes = positions.planes()
    logits, values = in_chunks(ready, planes)
    return Job(ready, planes, positions.legal_moves(), logits, values, calibration.planes())


def save_job(job: Job, network: nn.Module, path: Path) -> None:
    """Writes the job for the workers, with the network as it was before its norms were folded."""
    data: dict[str, Any] = {
        "architecture": architecture_of(network).name,
        "config": config_of(network),
        "weights": network.state_dict(),
        "planes": job.planes,
        "legal": job.legal,
        "logits": job.logits,
        "values": job.values,
        "calibration": job.calibration,
    }
    torch.save(data, path)


def load_job(path: Path) -> Job:
    """The job that `save_job` wrote."""
    data = torch.load(path, weights_only=True)
    network = architecture(data.pop("architecture")).network(data.pop("config"))
    network.load_state_dict(data.pop("weights"))
    return Job(for_inference(network), **data)


@torch.no_grad()
def in_chunks(forward: Any, planes: Tensor) -> tuple[Tensor, Tensor]:
    """Answers of `forward` to all planes, `CHUNK` rows at a time."""
    answers = [forward(chunk) for chunk in planes.split(CHUNK)]
    return torch.cat([answer[0] for answer in answers]), torch.cat([a[1] for a in answers])


def _positions(network: nn.Module, size: int, count: int, seed: int) -> Positions:
    """About `count` positions, spread evenly over all plies of all games of one seed."""
    plan = InferencePlan("cpu", "eager", "float32", (CHUNK,), torch.get_num_threads())
    model = ModelInference(copy.deepcopy(network), plan)
    lanes = Runner(model, SelfPlaySettings(size, (1,), seed), games_in_flight=GAMES)
    games = (game for games in lanes.play(range(GAMES)) for game in games)
    # The last position of a game is finished, and nobody evaluates it.
    plies = [ply for game in games for ply in replay(size, [int(m) for m in game.moves])[:-1]]
    whole = max(CHUNK, min(count, len(plies)) // CHUNK * CHUNK)
    chosen = torch.linspace(0, len(plies) - 1, whole).round().long()
    return Positions.cat([plies[index] for index in chosen.tolist()])
