"""Self-play by actors, in processes of one machine or of many."""
