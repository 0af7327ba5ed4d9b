"""Learning by self-play in one call: `hex-ai learn`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hex_ai.errors import SettingError
from hex_ai.network.torch_state import undisturbed
from hex_ai.numbers import real
from hex_ai.training.curves import Curves
from hex_ai.training.learn_folder import read_notes
from hex_ai.training.learner import Learner, Round
from hex_ai.training.round_player import Players
from hex_ai.training.schedule import LearnSettings, Length, settings_of_run

HOUR = Length(seconds=3600)


@dataclass(frozen=True)
class Learnt:
    """What a run has come to: the checkpoint of its network, and the games played in all."""

    network: Path
    games: int


@undisturbed(gradients=True)
def learn(
    folder: Path | str,
    *,
    board_sizes: Sequence[int] | None = None,
    hours: float | None = None,
    games: int | None = None,
    resume: bool = False,
    init: Path | str | None = None,
    search_widths: Sequence[int] | None = None,
    searched: float | None = None,
    channels: int | None = None,
    blocks: int | None = None,
    games_per_round: int | None = None,
    reuse: float | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    seed: int | None = None,
    overlap: bool | None = None,
    games_in_flight: int | None = None,
    device: str = "auto",
    players: Players | None = None,
    report: Callable[[Round, float], None] = lambda _, __: None,
) -> Learnt:
    """Learns by self-play, from nothing or from a checkpoint.

    Where None is given, a run that is resumed goes on as it was begun, and a new one takes what
    `LearnSettings` has; there all of these settings are explained.

    Args:
      folder: of the run; docs/learning.md says what it holds.
      hours, games: length of the whole run, the first of the two that is reached; None: one hour.
      resume: go on with the run in the folder; with none there, start.
      init: checkpoint to start from instead of random weights.
      games_in_flight: games that share batches; None: by device. Changes speed, not games.
      device: `auto`, `cpu` or `cuda`.
      players: who plays the games of a round; None: this process.
      report: is told of every round, once it is on the disk, and how far the run is, from 0 to 1.

    Raises:
      SettingError, StoreError, CheckpointError: see `Learner`.
      NetworkError: learning has diverged; what is on the disk is from before.
    """
    folder = Path(folder)
    asked: dict[str, Any] = {
        "board_sizes": board_sizes,
        "search_widths": search_widths,
        "searched": searched,
        "channels": channels,
        "blocks": blocks,
        "games_per_round": games_per_round,
        "reuse": reuse,
        "batch": batch,
        "learning_rate": learning_rate,
        "seed": seed,
        "overlap": overlap,
    }
    notes = read_notes(folder) if resume else None
    settings, length = (LearnSettings(), HOUR) if notes is None else settings_of_run(notes)
    settings = replace(settings, **{name: v for name, v in asked.items() if v is not None})
    if hours is not None or games is not None:
        length = Length(games, None if hours is None else real("hours", hours) * 3600)
    elif length is None:
        raise SettingError(f"{folder}: does not say how long the run is: want hours or games")
    with (
        Learner(
            folder,
            settings,
            init=None if init is None else Path(init),
            resume=resume,
            device=device,
            games_in_flight=games_in_flight,
            players=players,
        ) as learner,
        Curves(folder, learner.progress.games) as curves,
    ):
        for done in learner.rounds(length):
            curves.add(done, settings.games_per_round / (done.play_seconds + done.learn_seconds))
            report(done, length.done(done.games, done.seconds))
        return Learnt(learner.folder.network_path, learner.progress.games)
