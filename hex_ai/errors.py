"""Every error that hex_ai raises on purpose.

    HexAIError
    ├── SettingError        a flag or setting that cannot be meant
    ├── NotationError       a cell name or a game line that cannot be read
    ├── IllegalMoveError    a move on an occupied cell, off the board, or after the end
    ├── ShapeError          a tensor whose shape or dtype is not the one asked for
    ├── CheckpointError     a checkpoint that is damaged, foreign or does not fit
    ├── NetworkError        a network that gives what cannot be a policy and a value
    ├── CollectorError      a collector that was closed, or whose inference thread died
    ├── EngineError         another program that does not answer as it should
    ├── CommandError        a command of a protocol that cannot be carried out
    ├── StoreError          a folder of games that cannot be written, read or resumed
    └── RecordError         a game record that breaks the rules or its own totals

The message is one line that names the thing at fault. The command line prints it and exits with
the status given by `exit_status`.
"""


class HexAIError(Exception):
    """The root of the tree: catch it to catch whatever hex_ai reports.

    `exit_status` is what a command ends with when the error reaches it.
    """

    exit_status = 1


class SettingError(HexAIError, ValueError):
    """A flag or setting that cannot be meant."""

    exit_status = 2


class NotationError(HexAIError, ValueError):
    """A cell name or a game line that cannot be read."""

    exit_status = 3


class IllegalMoveError(HexAIError, ValueError):
    """A move on an occupied cell, off the board, or after the end of the game."""

    exit_status = 3


class ShapeError(HexAIError, ValueError):
    """A tensor whose shape or dtype is not the one asked for."""


class CheckpointError(HexAIError):
    """A checkpoint that is damaged, foreign, or does not fit its architecture."""

    exit_status = 4


class NetworkError(HexAIError):
    """A network that gives what cannot be a policy and a value."""

    exit_status = 5


class CollectorError(HexAIError):
    """A collector that was closed, or whose inference thread died."""

    exit_status = 5


class EngineError(HexAIError):
    """Another program, asked to play, that cannot be started or does not answer as it should."""

    exit_status = 8


class CommandError(HexAIError):
    """A command of a protocol that is unknown, malformed or cannot be carried out now."""


class StoreError(HexAIError):
    """A folder of games that cannot be written, read or resumed."""

    exit_status = 6


class RecordError(HexAIError):
    """A game record that breaks the rules or contradicts itself."""

    exit_status = 7
