"""Folders of self-play games: schema, files, replay and summary."""
