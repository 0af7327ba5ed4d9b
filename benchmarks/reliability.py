"""Whether a network's numbers mean what they say: draws reliability of value and policy (PNG).

    hex-ai selfplay --num-games 400 --board-size 9 --model NET --out games
    python benchmarks/reliability.py games --model NET --out reliability.png

Value: positions of the games in bins of the chance of winning that the network gives its mover,
against the share of them that the mover went on to win. Policy: the probability that the network
gives its favourite move, against what the improved policy of the search, which it learns, gives
that move on average; and against the share of positions in which it is the improved policy's
favourite, too. Positions of one game are not independent, so points scatter more than their number
says.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from hex_ai.network.checkpoint import load_checkpoint
from hex_ai.store.run_folder import read_games
from hex_ai.training.samples import samples_from_games
from hex_ai.value_utils import to_win_probability

BINS = 10


@torch.no_grad()
def answers(network: nn.Module, folder: Path) -> tuple[int, list[Tensor]]:
    """Board size, and of every position searched in the games of a folder: the chance of winning
    that the network gives its mover, whether it won; the probability of the network's favourite
    move, what the improved policy gives it, and whether it is the favourite there, too."""
    games = list(read_games(folder))
    samples = samples_from_games(games)
    parts = []
    for start in range(0, len(samples), 1024):
        some = samples.rows(slice(start, start + 1024))
        logits, values = network(some.planes.float())
        occupied = some.planes[:, :, 1:-1, 1:-1].sum(1).flatten(1) > 0
        top = logits.masked_fill(occupied, -torch.inf).softmax(1).max(1)
        given = some.policy.gather(1, top.indices[:, None])[:, 0]
        chosen = top.indices == some.policy.argmax(1)
        parts.append((to_win_probability(values), some.outcomes > 0, top.values, given, chosen))
    return games[0].board_size, [torch.cat(part) for part in zip(*parts, strict=True)]


def bins(said: Tensor, came: Tensor) -> list[tuple[float, float, int]]:
    """(mean of what was said, share of what came, how many) for each bin that holds anything."""
    place = (said * BINS).long().clamp(0, BINS - 1)
    rows = [place == k for k in range(BINS)]
    return [
        (float(said[row].mean()), float(came[row].double().mean()), int(row.sum()))
        for row in rows
        if bool(row.any())
    ]


def draw(panel: Axes, points: list[tuple[float, float, int]], label: str, *, full: bool) -> None:
    total = sum(count for *_, count in points)
    panel.scatter(
        [said for said, *_ in points],
        [came for _, came, _ in points],
        s=[20 + 400 * count / total for *_, count in points],
        facecolors="C0" if full else "none",
        edgecolors="C0",
        label=label,
    )


def frame(panel: Axes, title: str, below: str, beside: str) -> None:
    panel.plot([0, 1], [0, 1], color="grey", linewidth=1)
    panel.set(xlim=(0, 1), ylim=(0, 1), title=title, xlabel=below, ylabel=beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    network = load_checkpoint(arguments.model).network.eval()
    figure = Figure(figsize=(8, 4 * len(arguments.folder)), layout="constrained")
    panels = figure.subplots(len(arguments.folder), 2, squeeze=False)
    for folder, (left, right) in zip(arguments.folder, panels, strict=True):
        number, (chances, won, likely, given, chosen) = answers(network, folder)
        size = f"{number}x{number}"
        frame(left, f"value, {size}", "chance of winning, by the network", "share that came true")
        frame(right, f"policy, {size}", "probability of its favourite move", "by the search")
        value_points, policy_points = bins(chances, won), bins(likely, given)
        draw(left, value_points, "won", full=True)
        draw(right, policy_points, "mean of the improved policy", full=True)
        draw(right, bins(likely, chosen), "share where it is its favourite", full=False)
        right.legend(loc="lower right")
        for what, points in (("value", value_points), ("policy", policy_points)):
            error = sum(abs(said - came) * count for said, came, count in points)
            print(f"{size}: {what} off by {error / sum(n for *_, n in points):.3f} on average")
    figure.savefig(arguments.out, dpi=110)
    print(arguments.out)


if __name__ == "__main__":
    main()
