"""The folder in which this package keeps, for a user, what it can find out again."""

import os
from pathlib import Path

from hex_ai.errors import StoreError


def user_cache() -> Path:
    """`hex_ai` in the user's cache folder; it need not exist.

    Raises:
      StoreError: there is no such folder, for the user has no home.
    """
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise StoreError("no home folder, and XDG_CACHE_HOME is not set") from error
    return Path(cache) / "hex_ai"
