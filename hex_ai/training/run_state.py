"""The state of a run of learning between two rounds: begun, or found in its folder again."""

import copy
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hex_ai.errors import CheckpointError, StoreError
from hex_ai.inference.inference_plan import InferencePlan
from hex_ai.network.architecture import architecture_of, config_of
from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.network.resnet import HexNetwork, NetworkConfig
from hex_ai.training.learn_folder import RunFolder, read_notes
from hex_ai.training.samples import samples_from_games
from hex_ai.training.schedule import LearnSettings
from hex_ai.training.start import network_to_train
from hex_ai.training.trainer import Trainer
from hex_ai.training.window import Window

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a run is: rounds, games, samples, evaluations and seconds; by board size the share it
    has had, and the samples it has given."""

    rounds: int = 0
    games: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    checkpoint_games: int = 0
    shares: dict[int, float] = field(default_factory=dict)
    samples: dict[int, int] = field(default_factory=dict)


@dataclass
class RunState:
    """All that the next round depends on, besides the settings.

    Attributes:
      trainer: the weights, their average, and the optimiser.
      generator: draws the batches.
      progress: how far the run is.
      notes: what `learn.json` says.
      player: with `overlap`, the network that plays the next round; else None.
      windows: the samples to learn from, by board size.
    """

    trainer: Trainer
    generator: torch.Generator
    progress: Progress
    notes: dict[str, Any]
    player: nn.Module | None = None
    windows: dict[int, Window] = field(default_factory=dict)

    @property
    def plays(self) -> nn.Module:
        """The network that plays the next round."""
        return self.trainer.average_network if self.player is None else self.player

    def keep_player(self) -> None:
        """Has the averaged network as it is now play the next round, whatever is learnt before."""
        self.player = copy.deepcopy(self.trainer.average_network)

    def save(self, folder: RunFolder) -> None:
        """Writes it into the folder of the run; `state.pt` comes last and makes it count."""
        folder.write_notes(self.notes)
        state = {
            "trainer": self.trainer.state_dict(),
            "generator": self.generator.get_state(),
            "progress": asdict(self.progress),
        }
        if self.player is not None:
            state["player"] = self.player.state_dict()
        folder.save_state(state)

    def restore(self, saved: Mapping[str, Any], rounds: list[dict[str, Any]], path: Path) -> None:
        """Goes back to what `save` wrote, with the notes on its rounds.

        Raises:
          StoreError: that is no state of this run, whose folder is `path`.
        """
        try:
            self.trainer.load_state_dict(saved["trainer"])
            if self.player is not None:
                self.player.load_state_dict(saved["player"])
            self.generator.set_state(saved["generator"])
            self.progress = Progress(**saved["progress"])
            self.notes["rounds"] = rounds[: self.progress.rounds]
            if len(self.notes["rounds"]) < self.progress.rounds:
                raise ValueError("learn.json has fewer rounds")
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise StoreError(f"{path}/state.pt: does not fit this run") from error


def open_run(
    folder: RunFolder,
    settings: LearnSettings,
    plans: Mapping[int, InferencePlan],
    init: Path | None,
    resume: bool,
) -> RunState:
    """Begins a run or, with `resume`, finds the one in the folder, and clears the folder of what a
    round has left that did not count. Arguments and errors are those of `Learner`."""
    saved, notes = folder.load_state(), read_notes(folder.path)
    _require_whole(folder.path, saved, notes, resume)
    torch.manual_seed(settings.seed)
    if saved is None or notes is None:
        network, origin = _first_network(settings, init)
    else:
        network = HexNetwork(NetworkConfig(**notes["network"]["config"]))
        origin = notes["init"] if init is None else load_checkpoint(init).digest
    plan = plans[max(plans)]
    state = RunState(
        Trainer(
            network.to(plan.device), settings.learning_rate, mixed=plan.precision == "bfloat16"
        ),
        torch.Generator().manual_seed(settings.seed),
        Progress(),
        {
            "settings": settings.to_json(),
            "init": origin,
            "network": {
                "architecture": architecture_of(network).name,
                "config": config_of(network),
            },
            "plan": {str(size): plan.to_json() for size, plan in plans.items()},
            "length": None if notes is None else notes.get("length"),
            "rounds": [],
        },
    )
    if settings.overlap:
        state.keep_player()
    if notes is not None:
        _require_same(folder.path, settings, notes, state.notes)
        if saved is not None:
            state.restore(saved, notes["rounds"], folder.path)
    # Before the games: without its notes a folder with games cannot be gone on with.
    folder.write_notes(state.notes)
    _open_games(folder, settings, state)
    state.windows = {size: _window(folder, size, state) for size in settings.board_sizes}
    folder.drop_later_checkpoints(state.progress.games)
    return state


def _require_whole(path: Path, saved: object, notes: dict[str, Any] | None, resume: bool) -> None:
    """Refuses folders that hold what would be lost, or cannot be gone on with.

    A run that was stopped in its first round has notes of one round at most and no state.
    """
    if notes is None and (saved is not None or (path / "games").exists()):
        raise StoreError(f"{path}: holds games or a state of learning but no learn.json")
    if notes is not None and not resume:
        raise StoreError(f"{path}: holds a run already; --resume goes on with it")
    if notes is not None and saved is None and len(notes["rounds"]) > 1:
        raise StoreError(f"{path}: state.pt is missing, cannot go on without it")


def _first_network(settings: LearnSettings, init: Path | None) -> tuple[nn.Module, str | None]:
    """The network that a run starts from, and the digest of the one it was given."""
    if init is None:
        return network_to_train(None, settings.channels, settings.blocks), None
    checkpoint = load_checkpoint(init)
    if not isinstance(checkpoint.network, HexNetwork):
        raise CheckpointError(f"{init}: only a {HexNetwork.__name__} can be learnt with")
    network = network_to_train(checkpoint.network, settings.channels, settings.blocks)
    return network, checkpoint.digest


def _require_same(
    path: Path, settings: LearnSettings, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """Settings must be those of the run; a plan may change, at the price of other bits."""
    shape = before["network"]["config"]
    known_then = asdict(LearnSettings()) | before["settings"] | shape
    for name, value in settings.to_json().items():
        known = known_then[name]
        if known != value and not (name in shape and value is None):
            raise StoreError(f"{path}: {name} is {known!r} in this run, not {value!r}")
    if before["init"] != now["init"]:
        raise StoreError(f"{path}: the run began with another network")
    if before["plan"] != now["plan"]:
        log.warning("the inference plan is another now: games may differ in their last bits")


def _open_games(folder: RunFolder, settings: LearnSettings, state: RunState) -> None:
    """Opens the folders of games, and clears them of a round that did not count."""
    network = state.notes["network"] | {"learnt_in": "learn.json"}
    for size in settings.board_sizes:
        play = asdict(settings.play_settings(size))
        play["value_weight"] = str(play["value_weight"])
        plan = state.notes["plan"][str(size)]
        run = {"network": network, "plan": plan, "settings": play}
        folder.open_games(size, run, state.progress.games, settings.games_per_round)


def _window(folder: RunFolder, size: int, state: RunState) -> Window:
    window = Window()
    stored = (samples_from_games(games) for games in folder.newest_games(size))
    window.refill(stored, state.progress.samples.get(size, 0))
    return window
