"""Requests as MLflow reads them: a protobuf message, checked by MLflow's rules, with MLflow's messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs

from google.protobuf.json_format import ParseError
from google.protobuf.message import Message
from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import parse_dict
from mlflow.utils.validation import invalid_value, missing_value

Check = Callable[[Any], None]
Schema = Mapping[str, Sequence[Check]]
SomeMessage = TypeVar("SomeMessage", bound=Message)

SEE_DOCS = " See the API docs for more information about request parameters."


def read_query(query_string: bytes, message: SomeMessage, schema: Schema) -> SomeMessage:
    """Return ``message`` filled from a query; parameters that MLflow does not know are ignored."""
    values = parse_qs(query_string.decode("utf-8", "replace"), keep_blank_values=True)
    fields: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        if field.name in values:
            given = values[field.name]
            fields[field.name] = given if _is_repeated(field) else given[0]
    return _filled(message, fields, schema)


def read_body(body: bytes, content_type: str | None, message: SomeMessage, schema: Schema) -> SomeMessage:
    """Return ``message`` filled from a JSON body; a body that is not JSON reads as empty, as in MLflow."""
    if content_type is None:
        raise MlflowException.invalid_parameter_value("Bad Request. Content-Type header is missing.")
    if content_type.split(";")[0] != "application/json":
        raise MlflowException.invalid_parameter_value(
            "Bad Request. Content-Type must be one of ['application/json']."
        )
    fields = _json(body)
    if isinstance(fields, str):
        fields = _json(fields)  # old clients encode twice
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise MlflowException.invalid_parameter_value("Bad Request. The body must be a JSON object.")
    return _filled(message, fields, schema)


def _is_repeated(field: Any) -> bool:
    # protobuf 7 has no `label` any more, older ones have no `is_repeated`
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == field.LABEL_REPEATED)


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _filled(message: SomeMessage, fields: dict[str, Any], schema: Schema) -> SomeMessage:
    parse_error: ParseError | None = None
    try:
        parse_dict(fields, message)
    except ParseError as error:
        parse_error = error
    for name, checks in schema.items():
        if name in fields or required in checks:
            value = fields.get(name)
            if name == "run_id" and value is None:
                value = fields.get("run_uuid")
            _check(name, value, checks, types_are_right=parse_error is None)
    if parse_error is not None:
        # MLflow goes on with the fields read so far, and stores 0.0 for a value it cannot read.
        raise MlflowException.invalid_parameter_value(f"Bad Request. {parse_error}") from parse_error
    return message


def _check(name: str, value: Any, checks: Sequence[Check], *, types_are_right: bool) -> None:
    for check in checks:
        if types_are_right and check in TYPE_CHECKS:
            continue
        try:
            check(value)
        except (AssertionError, TypeError, AttributeError) as error:
            if isinstance(error, AssertionError) and error.args:
                message = str(error.args[0])
            elif check is required:
                message = missing_value(name)
            else:
                message = invalid_value(name, value, f" Hint: Value was of type '{type(value).__name__}'.")
            raise MlflowException.invalid_parameter_value(message + SEE_DOCS) from error


def required(value: Any) -> None:
    _assert(value is not None and value != "")


def string(value: Any) -> None:
    _assert(isinstance(value, str))


def integer(value: Any) -> None:
    _assert(_converts(int, value))


def number(value: Any) -> None:
    _assert(_converts(float, value))


def array(value: Any) -> None:
    _assert(isinstance(value, list))


def strings(value: Any) -> None:
    _assert(all(isinstance(item, str) for item in value))


def at_most(limit: int) -> Check:
    return lambda value: _assert(int(value) <= limit)


def each_has(list_name: str, *names: str) -> Check:
    """Return the check that every item of a list has these fields."""

    def check(items: Any) -> None:
        for index, item in enumerate(items):
            for name in names:
                if item.get(name) in (None, ""):
                    raise AssertionError(missing_value(f"{list_name}[{index}].{name}"))

    return check


TYPE_CHECKS = frozenset({string, integer, number, array, strings})


def _assert(holds: bool) -> None:
    if not holds:
        raise AssertionError


def _converts(to: type[int | float], value: Any) -> bool:
    try:
        to(value)
    except ValueError:
        return False
    return True
