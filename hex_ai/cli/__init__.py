"""The commands of `hex-ai`."""
