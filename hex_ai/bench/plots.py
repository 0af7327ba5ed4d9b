"""Whether pictures can be drawn with matplotlib (`pip install "hex_ai[plots]"`)."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

from hex_ai.errors import SettingError, StoreError


def require_plots(folder: Path) -> None:
    """Makes the folder, so that nobody measures for an hour what cannot be drawn.

    Raises:
      SettingError: matplotlib is not installed.
      StoreError: the folder cannot be made, or no file in it.
    """
    if find_spec("matplotlib") is None:
        raise SettingError("drawing wants matplotlib: install it, or hex_ai with its extra [plots]")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
