"""Messages to MLflow's JSON and back.

MLflow speaks protobuf's JSON: NaN and infinities are the strings "NaN", "Infinity" and "-Infinity", and an
integer of 64 bits may be a number or a string. Floats come back bit for bit, NaN's payload aside.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

Message = TypeVar("Message")


def encode(message: msgspec.Struct) -> bytes:
    """Return the message as MLflow's JSON; fields that hold their default are left out."""
    encoded = msgspec.json.encode(message)
    # A message has no null of its own, so an unquoted one is a NaN or an infinity that msgspec wrote as null.
    if b"null" in encoded:
        return msgspec.json.encode(_with_spelled_floats(msgspec.to_builtins(message)))
    return encoded


def decode(encoded: bytes, message_type: type[Message]) -> Message:
    """Return the message; fields that the type does not know are ignored.

    Raises:
        msgspec.MsgspecError: this is not JSON, or not a message of that type.
    """
    return msgspec.json.decode(encoded, type=message_type, strict=False)


def query_of(message: msgspec.Struct) -> list[tuple[str, str]]:
    """Return the message as the query of a GET; a list becomes one pair for each item."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    return [
        (name, str(item))
        for name, value in fields.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
    ]


def _with_spelled_floats(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _with_spelled_floats(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_spelled_floats(item) for item in value]
    return value
