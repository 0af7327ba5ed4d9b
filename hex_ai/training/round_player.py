"""Plays the games of rounds of learning: when they are asked for, or in a thread beside the steps
of another round."""

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from hex_ai.game.records import GameRecord
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.inference_stats import speeds
from hex_ai.inference.model_inference import ModelInference
from hex_ai.selfplay.progress_file import ProgressFile
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.settings import SelfPlaySettings

# Of a network under a plan, by settings, with so many games in flight and a digest for the records.
Players: TypeAlias = Callable[
    [nn.Module, InferencePlan, SelfPlaySettings, int, str], tuple[ModelInference, Runner]
]


def players_here(
    network: nn.Module, plan: InferencePlan, settings: SelfPlaySettings, in_flight: int, digest: str
) -> tuple[ModelInference, Runner]:
    """A model of the network, and who plays by it in this process."""
    model = ModelInference(copy.deepcopy(network), plan)
    runner = Runner(model, settings, games_in_flight=in_flight, device=model.device, network=digest)
    return model, runner


@dataclass(frozen=True)
class RoundPlan:
    """What the games of a round are to be.

    Attributes:
      number: of the round, counted from 0.
      ids: of its games.
      done: how far the run is as it begins, 0 to 1.
      network: plays; it must not change before the games are there.
      digest: of the network.
      inference: the plan that the network runs under.
      settings: that decide the games.
    """

    number: int
    ids: range
    done: float
    network: nn.Module
    digest: str
    inference: InferencePlan
    settings: SelfPlaySettings


@dataclass(frozen=True)
class Played:
    """The games of a round, in the order of their ids, and the evaluations that they took."""

    games: list[GameRecord]
    evaluations: int


class RoundPlayer:
    """Plays the games of one round after the other. Use it as a context manager: play that is under
    way at its end is given up.

    Args:
      players: who plays.
      games_in_flight: at most.
      folder: of the run, where `progress.json` tells how it goes.
      in_thread: whether a round is played from `start` on, in a thread.
    """

    def __init__(
        self, players: Players, games_in_flight: int, folder: Path, in_thread: bool
    ) -> None:
        self._players, self._in_flight, self._folder = players, games_in_flight, folder
        self._stopping, self._thread = threading.Event(), None
        if in_thread:
            threads = torch.get_num_threads()
            self._thread = ThreadPoolExecutor(1, "round", torch.set_num_threads, (threads,))

    def __enter__(self) -> "RoundPlayer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.shutdown()

    def start(self, plan: RoundPlan) -> Callable[[], Played]:
        """Begins a round; what is returned gives its games, or raises what has stopped them."""
        if self._thread is None:
            return lambda: self._play(plan)
        return self._thread.submit(self._play, plan).result

    def _play(self, plan: RoundPlan) -> Played:
        in_flight = min(self._in_flight, len(plan.ids))
        model, runner = self._players(
            plan.network, plan.inference, plan.settings, in_flight, plan.digest
        )
        games, started = list[GameRecord](), time.monotonic()

        def stats() -> dict[str, object]:
            found = model.get_performance_stats()
            found |= speeds(found, runner.searches, time.monotonic() - started)
            counts = {"finished_games": len(games), "games_to_play": len(plan.ids)}
            return {"stats": found | counts}

        runner.watcher = ProgressFile(self._folder, stats)
        with closing(runner.play(plan.ids)) as play:
            for some in play:
                games += some
                if self._stopping.is_set():
                    break
        games.sort(key=lambda game: game.game_id)
        return Played(games, int(model.get_performance_stats()["evaluations"]))
