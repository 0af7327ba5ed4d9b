"""Networks: what every network is to the rest of hex_ai, ours, and their files."""
