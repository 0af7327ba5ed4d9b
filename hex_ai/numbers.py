"""Numbers as users give them for settings: Python's own, NumPy's, or torch tensors of one number.

They become Python's own at the door, for only these compare, count and go into JSON everywhere.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from hex_ai.errors import SettingError


def whole(name: str, value: Any) -> int:
    """The whole number given for the setting `name`.

    Raises:
      SettingError: no whole number; true, false and 2.0 are none.
    """
    number = _plain(value)
    try:
        if not isinstance(number, bool):
            return operator.index(number)
    except TypeError:
        pass
    raise SettingError(f"{name} {_shown(number)} is not a whole number")


def real(name: str, value: Any) -> float:
    """The number given for the setting `name`; it may be infinite or NaN.

    Raises:
      SettingError: no number, such as a text, true or false, or a whole one beyond all floats.
    """
    number = _plain(value)
    kind = type(number)
    if kind is bool or not (hasattr(kind, "__float__") or hasattr(kind, "__index__")):
        raise SettingError(f"{name} {_shown(number)} is not a number")
    try:
        return float(number)
    except (TypeError, ValueError, OverflowError) as error:
        raise SettingError(f"{name} {_shown(number)} is not a number") from error


def flag(name: str, value: Any) -> bool:
    """The true or false given for the setting `name`. Raises `SettingError` for anything else."""
    given = _plain(value)
    if not isinstance(given, bool):
        raise SettingError(f"{name} {_shown(given)} is not true or false")
    return given


def wholes(name: str, values: Iterable[Any]) -> tuple[int, ...]:
    """The whole numbers given for the setting `name`, a list, tuple, array or tensor of them.

    Raises:
      SettingError: not a list of whole numbers.
    """
    try:
        several = tuple(values)
    except TypeError as error:
        raise SettingError(f"{name} {_shown(values)} is not a list of whole numbers") from error
    return tuple(whole(name, value) for value in several)


def settle(settings: Any, integers: Sequence[str] = (), floats: Sequence[str] = ()) -> None:
    """Makes fields of a frozen dataclass Python's numbers, in place; a default of None may stay.

    Raises:
      SettingError: see `whole` and `real`.
    """
    optional = {field.name for field in fields(settings) if field.default is None}
    for convert, names in ((whole, integers), (real, floats)):
        for name in names:
            value = getattr(settings, name)
            if value is not None or name not in optional:
                object.__setattr__(settings, name, convert(name.replace("_", " "), value))


def _plain(value: Any) -> Any:
    """What a scalar of NumPy, or an array or a tensor without axes, holds."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _shown(value: Any) -> str:
    """At most 40 characters, on one line."""
    return " ".join(repr(value).split())[:40]
