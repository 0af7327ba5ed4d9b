"""What every first move is worth, by long searches of the shipped network.

    python benchmarks/opening_values.py --sizes 8-9 --in-doubt 20000

By board size and cell, an opening and its rotation by 180° once: the value for the player to move
after it, who may swap, ±1 where it is proven. Prints a line a size to standard error.

`hex_ai/htp/openings.json` was put together from 3-7 and 8-9 with 4,000 evaluations, the latter with
20,000 where in doubt, and 10-13 with 2,000.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from hex_ai.game.notation import cell_name
from hex_ai.game.positions import Positions
from hex_ai.inference.inference_plan import default_plan, prompt_runtime, resolve_device
from hex_ai.inference.model_inference import ModelInference
from hex_ai.inference.position_collector import PositionCollector
from hex_ai.network.checkpoint import default_model_path, load_checkpoint
from hex_ai.puct.search import PuctSearch, PuctSettings

# Values between minus and plus this are in doubt.
IN_DOUBT = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, nargs="?", default=default_model_path())
    parser.add_argument("--sizes", default="3-13", help="the first and the last board size")
    parser.add_argument("--evaluations", type=int, default=4000, help="of each opening")
    parser.add_argument("--in-doubt", type=int, default=0, help="of those within 0.7 of even")
    args = parser.parse_args()
    device = resolve_device("cpu")
    checkpoint = load_checkpoint(args.checkpoint)
    model = ModelInference(checkpoint.network, default_plan(device, prompt_runtime(device)))
    first, _, last = args.sizes.partition("-")
    rows = []
    for size in range(int(first), int(last or first) + 1):
        started = time.monotonic()
        cells = torch.arange((size**2 + 1) // 2)
        found = opening_values(size, cells, model, args.evaluations)
        doubtful = cells[found.abs() < IN_DOUBT]
        if args.in_doubt and len(doubtful):
            found[doubtful] = opening_values(size, doubtful, model, args.in_doubt)
        values = {cell_name(cell, size): round(found[cell].item(), 3) for cell in cells.tolist()}
        rows.append(f'  "{size}": {json.dumps(values)}')
        proven = sum(abs(value) == 1 for value in values.values())
        seconds = time.monotonic() - started
        print(f"{size}: {proven} of {len(values)} proven, {seconds:.0f} s", file=sys.stderr)
    print(f'{{"network": "{checkpoint.digest}", "values": {{\n' + ",\n".join(rows) + "\n}}")


def opening_values(size: int, cells: Tensor, model: ModelInference, evaluations: int) -> Tensor:
    """float32 `[K]`: values of first moves, int64 `[K]` cells, in the view of the second player."""
    positions = Positions.empty(len(cells), size).play(cells)
    settings = PuctSettings(max_nodes=2 * evaluations * len(cells))
    search = PuctSearch(positions, PositionCollector(model), settings)
    return search.search(evaluations=evaluations).values


if __name__ == "__main__":
    main()
