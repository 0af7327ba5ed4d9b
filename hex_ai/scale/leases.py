"""Who plays which games: leases of game ids, given back where their holder is lost."""

import hashlib
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice
from operator import length_hint

import pyarrow as pa

from hex_ai.errors import RecordError
from hex_ai.game.records import GameRecord
from hex_ai.store.schema import to_table

# Games left, where nobody says how many there are.
_UNKNOWN = 2**62


class Leases:
    """Hands out game ids, and takes finished games in, each once.

    A game comes twice only if its holder was thought to be lost. What is kept of finished games is
    therefore as much as was given back, however long the run.

    Args:
      ids: of the games to play.
      count: how many there are, if that is known.

    Attributes:
      given_back: games that went to another holder.
    """

    def __init__(self, ids: Iterable[int], count: int | None = None) -> None:
        self.given_back = 0
        self._fresh = length_hint(ids, _UNKNOWN) if count is None else count
        self._ids: Iterator[int] = iter(ids)
        self._returned = deque[int]()
        self._held: dict[Hashable, dict[int, None]] = {}
        # Plans and digests of the games that were given back, once they are finished.
        self._twice: dict[int, tuple[str, bytes] | None] = {}
        self._exhausted = False

    @property
    def done(self) -> bool:
        """Whether no game is left to play or to wait for."""
        return self._exhausted and not self._returned and not any(self._held.values())

    @property
    def available(self) -> bool:
        """Whether there may be games that nobody holds."""
        return bool(self._returned) or not self._exhausted

    def share(self, holders: int) -> int:
        """How many games each of so many holders would have if all were dealt out now, at most."""
        left = self._fresh + len(self._returned) + sum(map(len, self._held.values()))
        return max(1, -(-left // holders))

    def held(self, holder: Hashable) -> int:
        """How many games a holder has yet to finish."""
        return len(self._held.get(holder, ()))

    def take(self, holder: Hashable, count: int) -> list[int]:
        """Up to so many ids for a holder, those first that another has lost."""
        taken = [self._returned.popleft() for _ in range(min(count, len(self._returned)))]
        fresh = list(islice(self._ids, count - len(taken)))
        self._fresh = max(0, self._fresh - len(fresh))
        self._exhausted |= len(taken) + len(fresh) < count
        taken += fresh
        self._held.setdefault(holder, {}).update(dict.fromkeys(taken))
        return taken

    def give_back(self, holder: Hashable) -> int:
        """What a holder has not finished is for others; how many games that is."""
        lost = self._held.pop(holder, {})
        self._returned.extend(lost)
        for game_id in lost:
            self._twice.setdefault(game_id, None)
        self.given_back += len(lost)
        return len(lost)

    def finish(self, holder: Hashable, game: GameRecord) -> bool:
        """Takes a finished game in; whether it is the first of its id. Games of one id that were
        played under different plans are not compared.

        Raises:
          RecordError: it was never the holder's, or the same id was finished as another game.
        """
        game_id, held = game.game_id, self._held.get(holder, {})
        if game_id not in self._twice:
            if game_id not in held:
                raise RecordError(f"game {game_id} came from where it was not asked for")
            del held[game_id]
            return True
        held.pop(game_id, None)
        known, found = self._twice[game_id], (game.plan, game_digest(game))
        if known is None:
            self._twice[game_id] = found
            return True
        if known[0] == found[0] and known != found:
            raise RecordError(f"game {game_id} was played twice, and not the same way")
        return False


def game_digest(game: GameRecord) -> bytes:
    """16 bytes for all that a record holds, however wide its rows of cells are padded."""
    sink = pa.BufferOutputStream()
    table = to_table([game])
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.blake2b(sink.getvalue(), digest_size=16).digest()
