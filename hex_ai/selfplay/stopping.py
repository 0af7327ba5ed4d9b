"""Ending decided games before the last stone: by proof, or by resignation.

By proof: the player who has just moved holds a chain that cannot be cut
(`hex_ai.game.connections`); its winner is certain. By resignation: two searches in a row, one of
each side, agree about the winner; its winner is likely. To see how likely, some games are played
on, and chosen so before they begin.
"""

from torch import Tensor

from hex_ai.errors import SettingError
from hex_ai.game.records import FIRST_RESIGNATION, STOPS
from hex_ai.keyed_random import Stream, uniform_noise


def check_stop(stop: tuple[str, ...], threshold: float, played_on: float) -> None:
    """Raises `SettingError` unless these are stop rules, each once, and numbers in range."""
    for rule in stop:
        if rule not in STOPS:
            raise SettingError(f"stop rule {rule!r} is not one of {', '.join(STOPS)}")
    if len(set(stop)) < len(stop):
        raise SettingError(f"stop rules {','.join(stop)} name one twice")
    if not 0 < threshold <= 1:
        raise SettingError(f"resign threshold {threshold} is not above 0 and at most 1")
    if not 0 <= played_on <= 1:
        raise SettingError(f"share of games played on {played_on} is not between 0 and 1")


def played_on(seed: int, game_ids: Tensor, share: float) -> Tensor:
    """bool `[K]`: the games, by id int64 `[K]`, in which nobody resigns: about `share` of them."""
    draws = uniform_noise(seed, game_ids, game_ids.new_full(game_ids.shape, Stream.PLAYED_ON))
    return draws < share


def resigned(values: Tensor, before: Tensor, plies: Tensor, threshold: float) -> Tensor:
    """bool `[S]`: whether the opponent resigns after the mover's move.

    Args:
      values: float32 `[S]`, search values of the positions moved from, the mover's view.
      before: float32 `[S]`, those of one ply earlier, the opponent's view.
      plies: int64 `[S]`, of the move, counted from 0.
      threshold: of both values, in (0, 1].
    """
    return (values >= threshold) & (before <= -threshold) & (plies >= FIRST_RESIGNATION)
