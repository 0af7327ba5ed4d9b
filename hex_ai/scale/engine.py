"""A `SelfPlayEngine` whose games actors play."""

import copy
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import nn

from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.inference.inference_stats import InferenceStats
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE, ModelInference
from hex_ai.network.checkpoint import default_model_path, save_checkpoint
from hex_ai.scale.cluster import connected, nodes, ray_version
from hex_ai.scale.ray_runner import Job, RayRunner
from hex_ai.selfplay.runner import Runner
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
from hex_ai.selfplay.settings import SelfPlaySettings
from hex_ai.training.round_player import Players


class _ModelsElsewhere:
    """Stands for the models of all actors: all but the counts is of a model here."""

    def __init__(self, model: ModelInference, runner: RayRunner) -> None:
        self._model, self._runner = model, runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def get_performance_stats(self) -> dict[str, Any]:
        counts = {f.name: self._runner.seats.count(f.name) for f in fields(InferenceStats)}
        found = InferenceStats(**cast("dict[str, Any]", counts)).summary()
        return found | {"actors": self._runner.report()}


@contextmanager
def played_by_actors(
    engine: SelfPlayEngine,
    actors: int | None,
    *,
    address: str | None,
    model: Path | None,
    architectures: Path | None,
    games_in_flight: int,
    cache_size: int,
    mixed: bool = False,
) -> Iterator[None]:
    """Has actors of Ray play the games of an engine; it can play no others after the block.

    Args:
      engine: its plan says on how many threads each actor plays.
      actors: how many; None: as many as play fastest.
      address: see `connected`.
      model: the engine's checkpoint, by default the shipped one.
      architectures: a file that registers its architecture, if one does; there on every node.
      games_in_flight: of each actor.
      cache_size: evaluations that each remembers.
      mixed: see `RayRunner`.

    Raises:
      EngineError: see `connected`.
    """
    with _runner(actors, engine.inference.plan.threads, address, mixed) as runner:
        network = Path(model or default_model_path()).read_bytes()
        play_by(engine, runner, network, architectures, games_in_flight, cache_size)
        yield


def play_by(
    engine: SelfPlayEngine,
    runner: RayRunner,
    network: bytes,
    architectures: Path | None,
    games_in_flight: int,
    cache_size: int,
) -> None:
    """Has a runner play the games of an engine, by a network given as the bytes of a checkpoint."""
    here = engine.inference

    def job() -> Job:
        options = {"games_in_flight": games_in_flight, "cache_size": cache_size}
        return Job(network, architectures, here.plan, engine.settings, options)

    runner.set_job(job)
    engine.inference = cast("ModelInference", _ModelsElsewhere(here, runner))
    engine.runner = cast("Runner", runner)
    engine.notes |= {"nodes": nodes(), "ray": ray_version()}


@contextmanager
def rounds_by_actors(
    actors: int | None, *, address: str | None, architectures: Path | None
) -> Iterator[Players]:
    """Actors of Ray that play the rounds of a run of learning, for the duration of the block.

    Args:
      actors: how many; they stay from round to round. None: as many as play fastest.
      address: see `connected`.
      architectures: a file that registers the network's architecture, if one does.

    Raises:
      EngineError: see `connected`.
    """
    threads = torch.get_num_threads()
    with _runner(actors, threads, address) as runner:

        def players(
            network: nn.Module,
            plan: InferencePlan,
            settings: SelfPlaySettings,
            in_flight: int,
            digest: str,
        ) -> tuple[ModelInference, Runner]:
            options = {
                "games_in_flight": -(-in_flight // runner.most),
                "cache_size": DEFAULT_CACHE_SIZE,
            }
            sent = Job(checkpoint_bytes(network), architectures, plan, settings, options)
            runner.set_job(lambda: sent)
            model = _ModelsElsewhere(ModelInference(copy.deepcopy(network), plan), runner)
            return cast("ModelInference", model), cast("Runner", runner)

        yield players


@contextmanager
def _runner(
    actors: int | None, threads: int, address: str | None, mixed: bool = False
) -> Iterator[RayRunner]:
    """Connects to Ray, or starts one, for the duration of the block; actors end with it."""
    processors = None if actors is None else actors * threads
    with connected(address, processors), closing(RayRunner(actors, threads, mixed=mixed)) as runner:
        yield runner


def checkpoint_bytes(network: nn.Module) -> bytes:
    """A network as the bytes of a checkpoint."""
    with TemporaryDirectory(prefix="hex_ai-") as folder:
        path = Path(folder) / "network.safetensors"
        save_checkpoint(path, network)
        return path.read_bytes()
