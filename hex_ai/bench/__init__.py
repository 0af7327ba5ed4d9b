"""How fast each mode is, beside the bare network: `hex-ai bench`."""
