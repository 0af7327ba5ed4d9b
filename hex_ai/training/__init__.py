"""Learning from self-play games."""
