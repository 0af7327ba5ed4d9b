"""Hex: fast self-play, learning from it, matches, and an engine to play against.

What is meant for users is here by name, and loaded when it is asked for: `import hex_ai` alone
loads nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hex_ai.arena.match import match
    from hex_ai.errors import HexAIError
    from hex_ai.formats.hexworld import read_hexworld
    from hex_ai.formats.sgf import read_sgf
    from hex_ai.formats.trmph import read_trmph
    from hex_ai.game.positions import Positions
    from hex_ai.game.records import GameRecord, Games
    from hex_ai.htp.serve import serve_htp
    from hex_ai.inference.fixed_tree_search import build_search_tree_with_collection
    from hex_ai.inference.global_collector import GlobalPositionCollector
    from hex_ai.inference.inference_plan import InferencePlan
    from hex_ai.inference.model_inference import ModelInference
    from hex_ai.inference.position_collector import PositionCollector
    from hex_ai.network.architecture import load_architecture_module, register_architecture
    from hex_ai.network.checkpoint import load_checkpoint, save_checkpoint
    from hex_ai.network.import_weights import import_weights
    from hex_ai.network.resnet import HexNetwork, NetworkConfig
    from hex_ai.puct.search import PuctSearch
    from hex_ai.selfplay.selfplay_engine import SelfPlayEngine
    from hex_ai.selfplay.settings import SelfPlaySettings
    from hex_ai.store.run_folder import load_games, read_games
    from hex_ai.training.learn import learn

__version__ = "0.1.0"

_HOMES = {
    "GameRecord": "game.records",
    "Games": "game.records",
    "GlobalPositionCollector": "inference.global_collector",
    "HexAIError": "errors",
    "HexNetwork": "network.resnet",
    "InferencePlan": "inference.inference_plan",
    "ModelInference": "inference.model_inference",
    "NetworkConfig": "network.resnet",
    "PositionCollector": "inference.position_collector",
    "Positions": "game.positions",
    "PuctSearch": "puct.search",
    "SelfPlayEngine": "selfplay.selfplay_engine",
    "SelfPlaySettings": "selfplay.settings",
    "build_search_tree_with_collection": "inference.fixed_tree_search",
    "import_weights": "network.import_weights",
    "learn": "training.learn",
    "load_architecture_module": "network.architecture",
    "load_checkpoint": "network.checkpoint",
    "load_games": "store.run_folder",
    "match": "arena.match",
    "read_games": "store.run_folder",
    "read_hexworld": "formats.hexworld",
    "read_sgf": "formats.sgf",
    "read_trmph": "formats.trmph",
    "register_architecture": "network.architecture",
    "save_checkpoint": "network.checkpoint",
    "serve_htp": "htp.serve",
}

__all__ = [
    "GameRecord",
    "Games",
    "GlobalPositionCollector",
    "HexAIError",
    "HexNetwork",
    "InferencePlan",
    "ModelInference",
    "NetworkConfig",
    "PositionCollector",
    "Positions",
    "PuctSearch",
    "SelfPlayEngine",
    "SelfPlaySettings",
    "build_search_tree_with_collection",
    "import_weights",
    "learn",
    "load_architecture_module",
    "load_checkpoint",
    "load_games",
    "match",
    "read_games",
    "read_hexworld",
    "read_sgf",
    "read_trmph",
    "register_architecture",
    "save_checkpoint",
    "serve_htp",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hex_ai' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hex_ai.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
