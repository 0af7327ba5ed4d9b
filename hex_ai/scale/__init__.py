"""Self-play by actors, in processes of one machine or of many."""

import os
import sys
from pathlib import Path

# `ray start` makes a cluster that wants a token wherever it finds one, but who joins by an address
# sends the token only if told to. Ray reads this as it is loaded; a cluster without does not mind.
_HAS_TOKEN = (
    bool(os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"})
    or (Path("~").expanduser() / ".ray" / "auth_token").exists()
)
if _HAS_TOKEN and "ray" not in sys.modules:
    os.environ.setdefault("RAY_AUTH_MODE", "token")
