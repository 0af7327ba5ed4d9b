"""What an asker may change about the engine while it runs."""

import math
from dataclasses import dataclass, replace

from hex_ai.errors import CommandError, SettingError
from hex_ai.htp.game import SWAP_RULES
from hex_ai.htp.protocol import Arguments
from hex_ai.inference.fixed_tree_search import check_widths, parse_widths
from hex_ai.puct.levels import level

OFF = "off"


@dataclass(frozen=True)
class HtpSettings:
    """How moves are chosen.

    Attributes:
      widths: of the search, where no time is set.
      seconds: for every move, or None: by the clock if there is one, else by the widths.
      swap: `pieces`, `sides` or `off`.
      level: of play, 1 to 10, instead of all the time and widths; or None.

    Raises:
      SettingError: values that cannot be meant.
    """

    widths: tuple[int, ...] = (8, 4)
    seconds: float | None = None
    swap: str = "pieces"
    level: int | None = None

    def __post_init__(self) -> None:
        check_widths(self.widths)
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise SettingError(f"seconds {self.seconds} is not a positive number")
        if self.level is not None:
            level(self.level)
        if self.swap not in SWAP_RULES:
            raise SettingError(f"swap {self.swap[:20]!r} is not one of {', '.join(SWAP_RULES)}")

    def texts(self) -> dict[str, tuple[str, str]]:
        """Type, as HexGui's dialog of parameters wants it, and value of each setting."""
        seconds = OFF if self.seconds is None else f"{self.seconds:g}"
        return {
            "seconds": ("string", seconds),
            "widths": ("string", ",".join(map(str, self.widths))),
            "level": ("string", OFF if self.level is None else str(self.level)),
            "swap": ("list/" + "/".join(SWAP_RULES), self.swap),
        }

    def changed(self, name: str, text: str) -> "HtpSettings":
        """With another value of one setting, given as text."""
        if name == "widths":
            return replace(self, widths=parse_widths(text))
        if name == "swap":
            return replace(self, swap=text.lower())
        if name == "level":
            return replace(self, level=_parse_level(text))
        return replace(self, seconds=_parse_seconds(text))


def list_or_change(
    settings: HtpSettings, names: tuple[str, ...], arguments: Arguments
) -> tuple[HtpSettings, str]:
    """What a `param_` command of these settings makes of them, and its reply.

    Without arguments all values are listed, with a name its value is told, with a name and a value
    it is set.

    Raises:
      CommandError: an unknown name, or too many arguments.
      SettingError: a value that cannot be meant.
    """
    texts = settings.texts()
    if not arguments:
        return settings, "\n".join(f"[{texts[name][0]}] {name} {texts[name][1]}" for name in names)
    name, *values = arguments
    if name not in names or len(values) > 1:
        raise CommandError(f"syntax error: want {' or '.join(names)}, and a value")
    if not values:
        return settings, texts[name][1]
    return settings.changed(name, values[0]), ""


def _parse_level(text: str) -> int | None:
    if text.lower() == OFF:
        return None
    if not text.isdecimal():
        raise SettingError(f"level {text[:20]!r} is neither a number nor {OFF!r}")
    return int(text[:9])


def _parse_seconds(text: str) -> float | None:
    if text.lower() == OFF:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise SettingError(f"seconds {text[:20]!r} is neither a number nor {OFF!r}") from error
