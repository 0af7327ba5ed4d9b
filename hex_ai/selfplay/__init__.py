"""Self-play games: engine, records and storage."""
