"""Every error that Tracklight raises.

::

    TracklightError
    ├── ConfigurationError            a setting, a URI or a folder cannot be used
    ├── InvalidValueError             a key, parameter or metric that nothing can store
    │   └── InvalidKeyError
    ├── NoActiveRunError              something was logged and no run was open
    ├── RunNotFoundError              neither the journal nor the server knows the run
    ├── ArtifactError                 a file cannot be read, spooled or uploaded
    ├── JournalError
    │   ├── JournalFullError          the size limit or the disk is full; nothing was written
    │   ├── JournalBusyError          a live process owns the journal
    │   └── JournalClosedError        the journal was closed; nothing was written
    └── ServerError                   the answer, or the missing answer, of a tracking server
        ├── ServerUnreachableError    no usable answer: try again later
        ├── AccessDeniedError         401 or 403: try again once the credentials are right
        ├── ServerFailedError         MLflow answered INTERNAL_ERROR: perhaps this request, perhaps all
        └── RequestRefusedError       MLflow refuses this request for good
            └── RequestTooLargeError  413: a smaller request may pass
"""

from __future__ import annotations


class TracklightError(Exception):
    """The root of all errors raised by Tracklight."""


class ConfigurationError(TracklightError):
    """A setting, a URI or a folder cannot be used; the message says where it came from."""


class InvalidValueError(TracklightError, ValueError):
    """A value that no tracking server can store."""


class InvalidKeyError(InvalidValueError):
    """A name of a parameter, metric or tag that MLflow does not allow."""


class NoActiveRunError(TracklightError):
    """Something was logged while no run was open."""


class RunNotFoundError(TracklightError):
    """Neither the journal nor the server knows the run."""


class ArtifactError(TracklightError):
    """A file cannot be read, kept in the spool or uploaded."""


class JournalError(TracklightError):
    """The journal cannot do what was asked."""


class JournalFullError(JournalError):
    """The size limit is reached or the disk is full; nothing was written."""


class JournalBusyError(JournalError):
    """Another live process owns the journal."""


class JournalClosedError(JournalError):
    """The journal was closed; nothing was written."""


class ServerError(TracklightError):
    """The answer, or the missing answer, of a tracking server."""


class ServerUnreachableError(ServerError):
    """No usable answer: refused connection, time-out, 429, 5xx of a gateway, a page that is not MLflow's.

    ``retry_after_seconds`` is what the server asked for, None where it did not say.
    """

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class AccessDeniedError(ServerError):
    """The server answered 401 or 403."""


class ServerFailedError(ServerError):
    """MLflow answered with an internal error: perhaps for this request, perhaps for all."""


class RequestRefusedError(ServerError):
    """MLflow refuses this request for good; ``error_code`` is MLflow's own."""

    def __init__(self, message: str, *, error_code: str, http_status: int) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.http_status = http_status


class RequestTooLargeError(RequestRefusedError):
    """The server refuses the size (413); a smaller request may pass."""
