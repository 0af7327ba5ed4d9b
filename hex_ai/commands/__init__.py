"""The commands of `hex-ai`, by what they are for."""
