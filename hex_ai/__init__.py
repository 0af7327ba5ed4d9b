"""Batched fixed-width self-play for the game of Hex.

What most programs need can be imported from here: `from hex_ai import SelfPlayEngine, load_games`.
A name is imported, and torch with it, when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hex_ai.arena.match import match as match
    from hex_ai.errors import HexAIError as HexAIError
    from hex_ai.formats.hexworld import read_hexworld as read_hexworld
    from hex_ai.formats.sgf import read_sgf as read_sgf
    from hex_ai.formats.trmph import read_trmph as read_trmph
    from hex_ai.game.positions import Positions as Positions
    from hex_ai.game.records import GameRecord as GameRecord
    from hex_ai.game.records import Games as Games
    from hex_ai.htp.serve import serve_htp as serve_htp
    from hex_ai.inference.fixed_tree_search import SearchTree as SearchTree
    from hex_ai.inference.fixed_tree_search import (
        build_search_tree_with_collection as build_search_tree_with_collection,
    )
    from hex_ai.inference.global_collector import GlobalPositionCollector as GlobalPositionCollector
    from hex_ai.inference.inference_plan import InferencePlan as InferencePlan
    from hex_ai.inference.model_inference import ModelInference as ModelInference
    from hex_ai.inference.position_collector import PositionCollector as PositionCollector
    from hex_ai.network.architecture import load_architecture_module as load_architecture_module
    from hex_ai.network.architecture import register_architecture as register_architecture
    from hex_ai.network.checkpoint import default_model_path as default_model_path
    from hex_ai.network.checkpoint import load_checkpoint as load_checkpoint
    from hex_ai.network.checkpoint import save_checkpoint as save_checkpoint
    from hex_ai.network.import_weights import import_weights as import_weights
    from hex_ai.network.resnet import HexNetwork as HexNetwork
    from hex_ai.network.resnet import NetworkConfig as NetworkConfig
    from hex_ai.puct.search import PuctSearch as PuctSearch
    from hex_ai.puct.search import PuctSettings as PuctSettings
    from hex_ai.selfplay.selfplay_engine import SelfPlayEngine as SelfPlayEngine
    from hex_ai.selfplay.settings import SelfPlaySettings as SelfPlaySettings
    from hex_ai.store.run_folder import load_games as load_games
    from hex_ai.store.run_folder import read_games as read_games
    from hex_ai.training.dataset import GamesDataset as GamesDataset
    from hex_ai.training.fitting import train as train
    from hex_ai.training.ladder import ladder as ladder
    from hex_ai.training.learn import learn as learn

_MODULES = {
    "GameRecord": "game.records",
    "Games": "game.records",
    "GamesDataset": "training.dataset",
    "GlobalPositionCollector": "inference.global_collector",
    "HexAIError": "errors",
    "HexNetwork": "network.resnet",
    "InferencePlan": "inference.inference_plan",
    "ModelInference": "inference.model_inference",
    "NetworkConfig": "network.resnet",
    "PositionCollector": "inference.position_collector",
    "Positions": "game.positions",
    "PuctSearch": "puct.search",
    "PuctSettings": "puct.search",
    "SearchTree": "inference.fixed_tree_search",
    "SelfPlayEngine": "selfplay.selfplay_engine",
    "SelfPlaySettings": "selfplay.settings",
    "build_search_tree_with_collection": "inference.fixed_tree_search",
    "default_model_path": "network.checkpoint",
    "import_weights": "network.import_weights",
    "ladder": "training.ladder",
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
    "train": "training.fitting",
}

__all__ = ["__version__", *_MODULES]


if not TYPE_CHECKING:  # to which every name would then exist

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'hex_ai' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"hex_ai.{_MODULES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
