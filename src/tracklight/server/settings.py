"""What a server must be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where runs and artifacts are kept, and what one request may hold."""

    backend_store_uri: str
    artifact_root: str
    max_body_bytes: int = 64 * 1024 * 1024
    lock_timeout_seconds: float = 60.0
    """How long the first request waits for another process that is creating the same database."""
