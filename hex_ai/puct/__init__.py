"""The search for play (PUCT), its tree, and the levels of play."""
