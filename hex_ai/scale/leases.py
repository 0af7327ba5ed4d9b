"""Who plays which games: leases of game ids, given back where their holder is lost."""

import hashlib
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import islice

import pyarrow as pa

from hex_ai.errors import RecordError
from hex_ai.game.records import GameRecord
from hex_ai.store.schema import to_table


class Leases:
    """Hands out game ids, and takes finished games in, each once.

    Args:
      ids: of the games to play.
    """

    def __init__(self, ids: Iterable[int]) -> None:
        self._ids: Iterator[int] = iter(ids)
        self._returned = deque[int]()
        self._held: dict[Hashable, dict[int, None]] = {}
        self._finished: dict[int, bytes] = {}
        self._exhausted = False

    @property
    def done(self) -> bool:
        """Whether no game is left to play or to wait for."""
        return self._exhausted and not self._returned and not any(self._held.values())

    @property
    def available(self) -> bool:
        """Whether there may be games that nobody holds."""
        return bool(self._returned) or not self._exhausted

    def held(self, holder: Hashable) -> int:
        """How many games a holder has yet to finish."""
        return len(self._held.get(holder, ()))

    def take(self, holder: Hashable, count: int) -> list[int]:
        """Up to so many ids for a holder, those first that another has lost."""
        taken = [self._returned.popleft() for _ in range(min(count, len(self._returned)))]
        fresh = list(islice(self._ids, count - len(taken)))
        self._exhausted |= len(taken) + len(fresh) < count
        taken += fresh
        self._held.setdefault(holder, {}).update(dict.fromkeys(taken))
        return taken

    def give_back(self, holder: Hashable) -> int:
        """What a holder has not finished is for others; how many games that is."""
        lost = self._held.pop(holder, {})
        self._returned.extend(lost)
        return len(lost)

    def finish(self, holder: Hashable, game: GameRecord) -> bool:
        """Takes a finished game in; whether it is the first of its id.

        Raises:
          RecordError: the same id was finished as another game.
        """
        digest = game_digest(game)
        known = self._finished.setdefault(game.game_id, digest)
        self._held.get(holder, {}).pop(game.game_id, None)
        if known is digest:
            return True
        if known != digest:
            raise RecordError(f"game {game.game_id} was played twice, and not the same way")
        return False


def game_digest(game: GameRecord) -> bytes:
    """16 bytes for all that a record holds."""
    sink = pa.BufferOutputStream()
    table = to_table([game])
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.blake2b(sink.getvalue(), digest_size=16).digest()
