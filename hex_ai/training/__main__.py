"""Trains a network by self-play, from nothing or from a checkpoint, and saves it every round."""

import argparse
import logging
import sys
from pathlib import Path

import torch

from hex_ai.errors import HexAIError
from hex_ai.inference.checkpoint import load_checkpoint
from hex_ai.inference.network import HexNetwork, NetworkConfig
from hex_ai.training.loop import LoopSettings, Round, train

log = logging.getLogger("hex_ai.training")


def main() -> int:
    """Parses the command line, trains, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hex_ai.training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--init", type=Path, help="checkpoint to go on from")
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--board-sizes", default="5,7,9,11", help="ascending, e.g. 5,7")
    parser.add_argument("--search-widths", default="6,2")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        settings = LoopSettings(
            seconds=arguments.hours * 3600,
            board_sizes=_numbers(arguments.board_sizes),
            search_widths=_numbers(arguments.search_widths),
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
        )
        torch.manual_seed(settings.seed)
        network = (
            load_checkpoint(arguments.init).network.requires_grad_(True)
            if arguments.init
            else HexNetwork(NetworkConfig(arguments.channels, arguments.blocks))
        )
        train(network, settings, arguments.out, _report)
    except (HexAIError, ValueError) as error:
        log.error("error: %s", error)
        return getattr(error, "exit_status", 2)
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _report(done: Round) -> None:
    log.info(
        "round %4d  %6.0f s  size %2d  %4d games of %5.1f plies  %6d samples  "
        "policy loss %.3f  value loss %.3f",
        done.number,
        done.seconds,
        done.board_size,
        done.games,
        done.mean_length,
        done.samples,
        done.losses.policy,
        done.losses.value,
    )


if __name__ == "__main__":
    sys.exit(main())
