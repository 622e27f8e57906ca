"""From a request's bytes to the answer's, for the endpoints of the table.

This module imports MLflow, which takes seconds: `tracklight.server.app` imports it with the first request.
"""

from __future__ import annotations

from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import message_to_json

from tracklight.server.reading import read_body, read_query
from tracklight.server.served import SERVED
from tracklight.server.settings import ServerSettings
from tracklight.server.store import Store, mlflow_kept_quiet


class Answers:
    """Answers requests from one store; any number of threads may ask."""

    def __init__(self, settings: ServerSettings) -> None:
        self._store = Store(settings)

    def open(self) -> None:
        """Open the database now instead of with the first request."""
        self._store.open()

    def close(self) -> None:
        self._store.close()

    def answer(
        self, endpoint_name: str, method: str, query_string: bytes, content_type: str | None, body: bytes
    ) -> tuple[int, str]:
        """Return the HTTP status and the JSON that MLflow's own server would give."""
        hot = SERVED[endpoint_name]
        try:
            if method == "GET":
                request = read_query(query_string, hot.request_type(), hot.schema)
            else:
                request = read_body(body, content_type, hot.request_type(), hot.schema)
            store = self._store.open()
            with mlflow_kept_quiet():
                return 200, message_to_json(hot.answer(store, request))
        except MlflowException as error:
            return error.get_http_status_code(), error.serialize_as_json()
