#!/usr/bin/env python3
"""Plays many self-play games: a thin door to `hex_ai.selfplay.selfplay_engine.SelfPlayEngine`."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from hex_ai.cli.output import run_safely
from hex_ai.cli.selfplay import play_and_report
from hex_ai.errors import SettingError
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE
from hex_ai.selfplay.selfplay_engine import SelfPlayEngine


def main() -> None:
    sys.exit(run_safely(play))


class Parser(argparse.ArgumentParser):
    """Reports bad flags as every other error is reported."""

    def error(self, message: str) -> NoReturn:
        raise SettingError(message)


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--num_games", type=int, default=1000)
    parser.add_argument("--no_batched_inference", action="store_true", help="one at a time")
    parser.add_argument("--num_workers", type=int, default=1, help="threads that play")
    parser.add_argument("--batch_size", type=int, default=1024, help="rows that start a batch")
    parser.add_argument("--cache_size", type=int, default=DEFAULT_CACHE_SIZE, help="evaluations")
    parser.add_argument("--search_widths", type=int, nargs="+", default=[3, 2])
    parser.add_argument("--temperature", type=float, help="default: 1.0 falling to 0.1")
    parser.add_argument("--model_path", type=Path, help="default: the shipped network")
    parser.add_argument("--output_dir", type=Path, help="folder to store games in")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --output_dir")
    parser.add_argument("--board_size", type=int, default=13)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def play() -> None:
    arguments = parse()
    engine = SelfPlayEngine(
        arguments.model_path,
        use_batched_inference=not arguments.no_batched_inference,
        num_workers=arguments.num_workers,
        batch_size=arguments.batch_size,
        cache_size=arguments.cache_size,
        search_widths=tuple(arguments.search_widths),
        temperature=arguments.temperature,
        output_dir=arguments.output_dir,
        resume=arguments.resume,
        board_size=arguments.board_size,
        seed=arguments.seed,
    )
    play_and_report(engine, arguments.num_games)


if __name__ == "__main__":
    main()
