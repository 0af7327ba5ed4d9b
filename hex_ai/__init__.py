"""Batched fixed-width self-play for the game of Hex."""

__version__ = "0.1.0"
