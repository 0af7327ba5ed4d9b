"""Text formats for games."""
