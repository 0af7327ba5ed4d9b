#!/usr/bin/env python3
"""Plays many self-play games: `hex-ai selfplay` by the names of its flags that scripts know."""

import argparse
from pathlib import Path
from typing import NoReturn

from hex_ai.cli.output import exit_with_status
from hex_ai.cli.selfplay import selfplay
from hex_ai.errors import SettingError
from hex_ai.inference.model_inference import DEFAULT_CACHE_SIZE


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


def main() -> None:
    with exit_with_status():
        arguments = parse()
        selfplay(
            arguments.num_games,
            arguments.board_size,
            arguments.output_dir,
            arguments.resume,
            seed=arguments.seed,
            search_widths=",".join(map(str, arguments.search_widths)),
            temperature=arguments.temperature,
            model=arguments.model_path,
            batched_inference=not arguments.no_batched_inference,
            num_workers=arguments.num_workers,
            batch_size=arguments.batch_size,
            cache_size=arguments.cache_size,
        )


if __name__ == "__main__":
    main()
