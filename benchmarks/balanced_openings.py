"""The suite of `--openings balanced`: pairs of stones after which either side wins as often.

    python benchmarks/balanced_openings.py [CHECKPOINT] > hex_ai/arena/balanced.json

Of all pairs, first Red's stone and then Blue's, an opening and its rotation by 180° once, the
network's value leaves 400 near 0, and a search of widths (8, 4) puts these in order. Values are
means over the two rotations. No cell is in more than three of the 48 openings of a size.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor

from hex_ai.game.notation import cell_name
from hex_ai.game.positions import Positions
from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
from hex_ai.inference.inference_plan import default_plan, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import default_model_path, load_checkpoint

SIZES, OPENINGS, SEARCHED, MOST_USES = (9, 11, 13), 48, 400, 3

# Evaluated at once.
CHUNK = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?", default=default_model_path())
    network = load_checkpoint(parser.parse_args().checkpoint).network
    model = ModelInference(network, default_plan(resolve_device("auto"), runtime="eager"))
    suites = [f'  "{size}": {json.dumps(suite(size, model))}' for size in SIZES]
    print("{\n" + ",\n".join(suites) + "\n}")


def suite(size: int, model: ModelInference) -> list[list[str]]:
    """The openings of a board size by the names of their cells, the fairest first."""
    last = size**2 - 1
    pairs = [
        (red, blue)
        for red in range(size**2)
        for blue in range(size**2)
        if red != blue and (red, blue) <= (last - red, last - blue)
    ]
    near = values(torch.tensor(pairs), size, model, search=False).abs().argsort(stable=True)
    found = torch.tensor(pairs)[near[:SEARCHED]]
    order = values(found, size, model, search=True).abs().argsort(stable=True)
    uses: Counter[int] = Counter()
    chosen: list[list[str]] = []
    for pair in found[order].tolist():
        if len(chosen) < OPENINGS and all(uses[cell] < MOST_USES for cell in pair):
            uses.update(pair)
            chosen.append([cell_name(cell, size) for cell in pair])
    return chosen


def values(pairs: Tensor, size: int, model: ModelInference, *, search: bool) -> Tensor:
    """float32 `[K]`: values of openings, int64 `[K, 2]` cells, as Red sees them."""
    both = torch.cat((pairs, size**2 - 1 - pairs))
    found = [value(part, size, model, search=search) for part in both.split(CHUNK)]
    return torch.cat(found).view(2, -1).mean(0)


def value(pairs: Tensor, size: int, model: ModelInference, *, search: bool) -> Tensor:
    """float32 `[K]`: values of these openings as they lie, as Red sees them."""
    positions = Positions.empty(len(pairs), size)
    for cells in pairs.T:
        positions = positions.play(positions.to_board_cells(cells))
    if not search:
        return model.batch_infer(positions)[1]
    return build_search_tree_with_collection(
        positions, (8, 4), 0.0, PositionCollector(model)
    ).values


if __name__ == "__main__":
    main()
