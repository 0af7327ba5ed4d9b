"""What an asker may change about the engine while it runs."""

import math
from dataclasses import dataclass, replace
from typing import Any

from hex_ai.errors import SettingError
from hex_ai.formats.moves import SWAP_RULES
from hex_ai.inference.fixed_tree_search import check_widths, parse_widths
from hex_ai.numbers import settle
from hex_ai.puct.levels import level

OFF = "off"
ALLOW_SWAP = "allow_swap"
_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True)
class HtpSettings:
    """How moves are chosen.

    Attributes:
      widths: of the search, where no time is set.
      seconds: for every move, or None: by the clock if there is one, else by the widths.
      swap: `pieces`, `sides`, `benzene` or `off`.
      level: of play, 1 to 10, instead of all the time and widths; or None.

    Raises:
      SettingError: invalid values.
    """

    widths: tuple[int, ...] = (8, 4)
    seconds: float | None = None
    swap: str = "pieces"
    level: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", check_widths(self.widths))
        settle(self, ("level",), ("seconds",))
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise SettingError(f"seconds {self.seconds} is not a positive number")
        if self.level is not None:
            level(self.level)
        if self.swap not in SWAP_RULES:
            raise SettingError(f"swap {self.swap[:20]!r} is not one of {', '.join(SWAP_RULES)}")

    def text(self, name: str) -> str:
        """The value of one setting."""
        if name == ALLOW_SWAP:
            return str(int(self.swap != OFF))
        value = getattr(self, name)
        if name == "widths":
            return ",".join(map(str, value))
        if isinstance(value, float):
            return f"{value:g}"
        return OFF if value is None else str(value)

    def line(self, name: str) -> str:
        """Type, as HexGui's dialog of parameters wants it, name and value of one setting."""
        kinds = {"swap": "list/" + "/".join(SWAP_RULES), ALLOW_SWAP: "bool"}
        return f"[{kinds.get(name, 'string')}] {name} {self.text(name)}"

    def changed(self, name: str, text: str) -> "HtpSettings":
        """With another value of one setting, given as text. Raises `SettingError`."""
        if name == "widths":
            return replace(self, widths=parse_widths(text))
        if name == "swap":
            return replace(self, swap=text.lower())
        if name == ALLOW_SWAP:
            return self._with_swap_allowed(text)
        kind = int if name == "level" else float
        try:
            changes: dict[str, Any] = {name: None if text.lower() == OFF else kind(text)}
        except ValueError as error:
            raise SettingError(f"{name} {text[:20]!r} is neither a number nor {OFF!r}") from error
        return replace(self, **changes)

    def _with_swap_allowed(self, text: str) -> "HtpSettings":
        """Swaps switched off, or on by the rule that was there; by `pieces` if there was none."""
        allowed = _YES_OR_NO.get(text.lower())
        if allowed is None:
            raise SettingError(f"{ALLOW_SWAP} {text[:20]!r} is not one of 0, 1, false, true")
        if allowed and self.swap != OFF:
            return self
        return replace(self, swap="pieces" if allowed else OFF)
