"""The page: play, review and watch, in a browser."""
