"""MLflow's REST API as types: one table of endpoints that both halves are built from."""

from tracklight.wire.codec import decode, encode, query_of
from tracklight.wire.endpoints import API_PREFIX, ENDPOINTS, Endpoint

__all__ = ["API_PREFIX", "ENDPOINTS", "Endpoint", "decode", "encode", "query_of"]
