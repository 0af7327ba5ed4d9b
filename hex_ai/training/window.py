"""What is learnt from: the samples of the latest rounds of one board size.

A window grows with the run. At first a run's games are bad and soon outdone, so only few are worth
a second look; later ones stay good for longer.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from hex_ai.training.samples import Samples

# A window holds this share of all samples made so far, within these bounds.
SHARE = 0.5
LEAST_SAMPLES, MOST_SAMPLES = 20_000, 400_000


class Window:
    """The latest rounds of samples; whole rounds leave it, the oldest first.

    What it holds depends only on the rounds it was given, so it can be filled again from the games
    on disk.
    """

    def __init__(self) -> None:
        self._rounds: deque[Samples] = deque()
        self._samples: Samples | None = None
        self.seen = 0

    def __len__(self) -> int:
        return sum(len(samples) for samples in self._rounds)

    def add(self, samples: Samples) -> None:
        """Takes in a round's samples and lets go of rounds that are too old."""
        self.seen += len(samples)
        self._rounds.append(samples)
        while len(self) - len(self._rounds[0]) >= limit(self.seen):
            self._rounds.popleft()
        self._samples = None

    def refill(self, newest_first: Iterable[Samples], seen: int) -> None:
        """Takes back what it held when `seen` samples had been made; reads no more than needed."""
        self.seen = seen
        for samples in _enough(newest_first, limit(seen)):
            self._rounds.appendleft(samples)
        self._samples = None

    @property
    def samples(self) -> Samples:
        """All of them as one batch, oldest first."""
        if self._samples is None:
            self._samples = Samples.cat(self._rounds)
        return self._samples


def limit(seen: int) -> int:
    """Samples that a window keeps at least, once `seen` of them have been made."""
    return min(max(int(SHARE * seen), LEAST_SAMPLES), MOST_SAMPLES)


def _enough(rounds: Iterable[Samples], wanted: int) -> Iterator[Samples]:
    """Rounds until they hold as many samples as wanted."""
    held = 0
    for samples in rounds:
        if held >= wanted:
            return
        held += len(samples)
        yield samples
