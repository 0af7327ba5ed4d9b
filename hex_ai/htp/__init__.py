"""The Hex Text Protocol: play against programs and referees over standard input and output."""
