"""How far it is from the command line to the network, as docs/architecture.md tells it."""

import sys
import traceback
from pathlib import Path

import pytest
from torch import Tensor

import hex_ai
from hex_ai.cli.main import main
from hex_ai.network.resnet import HexNetwork

PACKAGE = Path(hex_ai.__file__).parent

CHAIN = [
    ("cli/selfplay.py", "selfplay"),
    ("selfplay/selfplay_engine.py", "generate_games"),
    ("selfplay/game_batch.py", "play"),
    ("selfplay/game_batch.py", "step"),
    ("inference/fixed_tree_search.py", "build_search_tree_with_collection"),
    ("inference/position_collector.py", "evaluate"),
    ("inference/model_inference.py", "batch_infer"),
    ("inference/planned_network.py", "evaluate"),
]


def test_the_network_is_eight_calls_below_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chains: set[tuple[tuple[str, str], ...]] = set()
    forward = HexNetwork.forward

    def noted(network: HexNetwork, planes: Tensor) -> tuple[Tensor, Tensor]:
        calls = [(Path(frame.filename), frame.name) for frame in traceback.extract_stack()[:-1]]
        own = [(str(p.relative_to(PACKAGE)), n) for p, n in calls if PACKAGE in p.parents]
        start = own.index(CHAIN[0])
        chains.add(tuple(own[start:]))
        return forward(network, planes)

    monkeypatch.setattr(HexNetwork, "forward", noted)
    flags = ["--num-games", "2", "--board-size", "3", "--runtime", "eager", "--out"]
    monkeypatch.setattr(sys, "argv", ["hex-ai", "selfplay", *flags, str(tmp_path / "games")])
    with pytest.raises(SystemExit):
        main()
    chains = {chain for chain in chains if "prepare" not in {name for _, name in chain}}
    assert chains == {tuple(CHAIN)}
