"""Every error that hex_ai raises on purpose.

    HexAIError
    ├── SettingError        an invalid flag or setting
    │   └── MemoryShortError            one that wants more memory than there is
    ├── NotationError       a cell name or a game line that cannot be read
    ├── IllegalMoveError    a move on an occupied cell, off the board, or after the end
    ├── ShapeError          a tensor of the wrong shape or dtype
    ├── CheckpointError     a checkpoint that is damaged, foreign or does not fit
    ├── NetworkError        a network whose output is no policy and value
    │   └── InvalidEvaluationError      it is not finite, or a value outside ±1
    ├── CollectorError      a collector that was closed, or whose inference thread died
    ├── EngineError         another program that fails or answers wrongly
    ├── CommandError        a command of the protocol that cannot be executed
    ├── StoreError          a folder of games that cannot be written, read or resumed
    └── RecordError         a game record that breaks the rules or contradicts itself

The message is one line that names the thing at fault. The command line prints it and exits with
`exit_status`.
"""


class HexAIError(Exception):
    """The root of the tree. `exit_status` is what a command ends with when the error reaches it."""

    exit_status = 1


class SettingError(HexAIError, ValueError):
    """An invalid flag or setting."""

    exit_status = 2


class MemoryShortError(SettingError):
    """A setting that wants more memory than there is."""


class NotationError(HexAIError, ValueError):
    """A cell name or a game line that cannot be read."""

    exit_status = 3


class IllegalMoveError(HexAIError, ValueError):
    """A move on an occupied cell, off the board, or after the end of the game."""

    exit_status = 3


class ShapeError(HexAIError, ValueError):
    """A tensor of the wrong shape or dtype."""


class CheckpointError(HexAIError):
    """A checkpoint that is damaged, foreign, or does not fit its architecture."""

    exit_status = 4


class NetworkError(HexAIError):
    """A network whose output is no policy and value: of other shapes, or not finite."""

    exit_status = 5


class ConversionError(NetworkError):
    """A runtime cannot take a network."""


class InvalidEvaluationError(NetworkError):
    """A policy that is not finite, or a value outside ±1."""


class CollectorError(HexAIError):
    """A collector that was closed, or whose inference thread died."""

    exit_status = 5


class EngineError(HexAIError):
    """Another program, asked to play, that cannot be started, fails or answers wrongly."""

    exit_status = 8


class CommandError(HexAIError):
    """A command of the protocol that is unknown, malformed or cannot be executed now."""


class StoreError(HexAIError):
    """A folder of games that cannot be written, read or resumed."""

    exit_status = 6


class RecordError(HexAIError):
    """A game record that breaks the rules or contradicts itself."""

    exit_status = 7
