"""The rules of Hex on batches of positions."""
