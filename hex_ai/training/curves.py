"""Curves of a run of learning for TensorBoard (`pip install "hex_ai[train]"`)."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hex_ai.training.learner import Round

log = logging.getLogger(__name__)

# What is drawn of a round, by the name of its curve.
CURVES = {
    "loss/policy": "policy_loss",
    "loss/value": "value_loss",
    "policy/entropy": "entropy",
    "policy/agreement": "agreement",
    "games/length": "mean_length",
    "rate/learning": "learning_rate",
}


class Curves:
    """Writes the curves of a run into its folder, over the games played; or nothing, if TensorBoard
    is not installed. Use it as a context manager.

    Args:
      folder: of the run; the curves go to `tensorboard` in it.
      games: played in the run so far: what curves of an earlier sitting hold beyond is left out.
    """

    def __init__(self, folder: Path, games: int) -> None:
        self._writer = _writer(folder, games + 1)

    def __enter__(self) -> "Curves":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, done: Round, games_per_second: float) -> None:
        """One more point on every curve; those of one board size are apart from the others."""
        if self._writer is None:
            return
        size = f"{done.board_size}x{done.board_size}"
        points = {f"{name}/{size}": getattr(done, field) for name, field in CURVES.items()}
        for name, value in (points | {f"rate/games/{size}": games_per_second}).items():
            self._writer.add_scalar(name, value, done.games)
        self._writer.flush()


def add_ladder(folder: Path, name: str, points: Sequence[tuple[int, float]]) -> None:
    """Adds a curve of ratings to those of a run: (games played, Elo) of each checkpoint."""
    writer = _writer(folder, None)
    if writer is not None:
        for games, rating in points:
            writer.add_scalar(name, rating, games)
        writer.close()


def _writer(folder: Path, purge: int | None) -> Any:
    if find_spec("tensorboard") is None:
        log.warning("no curves: TensorBoard comes with the extra [train]")
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=purge)
