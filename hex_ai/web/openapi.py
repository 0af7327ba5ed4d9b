"""What the page's server can be asked, as an OpenAPI 3.1 description."""

from typing import Any

from hex_ai import __version__
from hex_ai.game.records import MAX_SIZE
from hex_ai.puct.levels import LEVELS
from hex_ai.web.asked import MAX_EVALUATIONS, MAX_POSITIONS, MAX_SECONDS, MAX_TEXT

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COLOUR: Schema = {"enum": ["red", "blue"]}
_CHANCE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def _object(required: str = "", **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_SCHEMAS: Schema = {
    "Error": _object("error", error=_TEXT),
    "Position": _object(
        "size stones turn",
        size={"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
        stones={
            "type": "string",
            "pattern": "^[.RB]+$",
            "description": "size * size of them, row by row: empty, Red, Blue",
        },
        turn=_COLOUR,
        swap={"type": "boolean", "description": "whether the side to move may swap"},
    ),
    "Tree": _object(
        "size nodes",
        size={"type": "integer", "minimum": 1, "maximum": MAX_SIZE},
        red=_TEXT,
        blue=_TEXT,
        result={"type": "string", "description": "as RE of SGF has it"},
        note=_TEXT,
        nodes={**_list(_ref("Node")), "minItems": 1},
    ),
    "Node": _object(
        "parent",
        parent=_nullable(_COUNT),
        move=_nullable(_object("colour what", colour=_COLOUR, what=_TEXT)),
        setup={"type": "object", "additionalProperties": {"enum": ["red", "blue", "empty"]}},
        turn=_nullable(_COLOUR),
        comment=_TEXT,
        marks=_list(_object("kind cell", kind=_TEXT, cell=_TEXT, text=_TEXT)),
        other={"type": "array", "items": {"type": "array"}},
    ),
    "Analysis": _object(
        "value proven evaluations seconds line moves",
        value={**_CHANCE, "description": "the chance of the side to move"},
        proven={"enum": [-1, 0, 1]},
        evaluations=_COUNT,
        seconds={"type": "number"},
        line=_list(_TEXT),
        moves=_list(
            _object(
                "cell policy", cell=_TEXT, visits=_COUNT, value=_nullable(_CHANCE), policy=_CHANCE
            )
        ),
        network=_TEXT,
        move={"type": "string", "description": "to play: a cell, or swap-pieces"},
    ),
}

_EVALUATIONS: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_EVALUATIONS}
_SECONDS: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS}
_LEVEL: Schema = {"type": "integer", "minimum": 1, "maximum": len(LEVELS)}

_SEARCH = _object(
    "position",
    position=_ref("Position"),
    evaluations=_EVALUATIONS,
    seconds=_SECONDS,
    level=_LEVEL,
    play={"type": "boolean", "description": "whether a move is wanted, to play"},
)
_SWEEP = _object(
    "positions",
    positions={**_list(_ref("Position")), "minItems": 1, "maxItems": MAX_POSITIONS},
)

_RUN = _object("name kind state games board_sizes changed trouble")
_NAMED = _object("name", name=_TEXT)
_GAMES = _object(
    "name",
    name=_TEXT,
    size=_COUNT,
    opening={"type": "string", "description": "first cell"},
    min_length=_COUNT,
    max_length=_COUNT,
    winner=_COLOUR,
    end=_TEXT,
    upset={**_CHANCE, "description": "the winner's chance fell to this or below"},
    start=_COUNT,
    count=_COUNT,
)

_REFUSALS = {
    "400": "what was asked cannot be read, or makes no sense",
    "403": "asked by another page, or by somebody without the token",
    "404": "there is no such thing",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "503": "too many visitors wait; Retry-After says when to come again",
}


def _operation(
    summary: str,
    answer: Schema,
    *,
    body: Schema | None = None,
    query: Schema | None = None,
    kind: str = "application/json",
) -> Schema:
    """One operation: what is asked by a body, or by the parts of an address."""
    refusals = {
        status: {"description": why, "content": {"application/json": {"schema": _ref("Error")}}}
        for status, why in _REFUSALS.items()
    }
    found = {"description": "the answer", "content": {kind: {"schema": answer}}}
    operation: Schema = {"summary": summary, "responses": {"200": found} | refusals}
    if body is not None:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    if query is not None:
        operation["parameters"] = [
            {"name": name, "in": "query", "required": name in query["required"], "schema": schema}
            for name, schema in query["properties"].items()
        ]
    return operation


_EVENTS = "text/event-stream"

DESCRIPTION: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "hex_ai", "version": __version__},
    "paths": {
        "/health": {"get": _operation("Whether the server lives", _object("status", status=_TEXT))},
        "/api/engine": {"get": _operation("What the engine is", _object("network"))},
        "/api/search": {
            "post": _operation(
                "Think about a position: events queued, progress, and done with an Analysis",
                _TEXT,
                body=_SEARCH,
                kind=_EVENTS,
            )
        },
        "/api/sweep": {
            "post": _operation(
                "Look at the positions of a game: events queued, progress, and done",
                _TEXT,
                body=_SWEEP,
                kind=_EVENTS,
            )
        },
        "/api/read": {
            "post": _operation(
                "A game from SGF, TRMPH or HexWorld",
                _ref("Tree"),
                body=_object("text", text={**_TEXT, "maxLength": MAX_TEXT}),
            )
        },
        "/api/write": {
            "post": _operation(
                "A game as SGF, TRMPH or HexWorld",
                _object("text", text=_TEXT),
                body=_object(
                    "tree format", tree=_ref("Tree"), format={"enum": ["sgf", "trmph", "hexworld"]}
                ),
            )
        },
        "/api/runs": {"get": _operation("The runs that can be watched", _object("runs"))},
        "/api/runs/view": {
            "get": _operation("How a run is going, and its games as a whole", _RUN, query=_NAMED)
        },
        "/api/runs/live": {
            "get": _operation(
                "The same again and again as it changes: events view, and end",
                _TEXT,
                query=_NAMED,
                kind=_EVENTS,
            )
        },
        "/api/runs/games": {
            "get": _operation("Games of a run by filters", _object("total games"), query=_GAMES)
        },
        "/api/runs/game": {
            "get": _operation(
                "A game of a run",
                _object("tree values candidates", tree=_ref("Tree")),
                query=_object("name size id", name=_TEXT, size=_COUNT, id=_COUNT),
            )
        },
        "/api/runs/download": {
            "get": _operation(
                "All games of a run as a file",
                _TEXT,
                query=_object(
                    "name format", name=_TEXT, format={"enum": ["parquet", "sgf", "trmph"]}
                ),
                kind="application/octet-stream",
            )
        },
    },
    "components": {"schemas": _SCHEMAS},
}
