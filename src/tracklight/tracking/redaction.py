"""Keeping secrets out of journals and servers.

A value is replaced when its name says that it is secret, or when it looks like a secret whatever its name.
Numbers and booleans are never secrets, so ``max_tokens=100`` stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

REDACTED = "[redacted]"

# A word of the name, at either end or between separators: db_password, API-KEY, hf.token; not tokenizer, tokens.
NAMES_OF_SECRETS = (
    r"(?:^|[^a-z])(?:password|passwd|passphrase|pwd|secret|secrets|token|api[_-]?key|apikey|access[_-]?key"
    r"|private[_-]?key|secret[_-]?key|credentials?|authorization|auth[_-]?token|bearer)(?:$|[^a-z])"
)
LOOKS_OF_SECRETS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # AWS access key
    r"\bgh[pousr]_[A-Za-z0-9]{36,}\b",  # GitHub
    r"\bglpat-[A-Za-z0-9_-]{20,}\b",  # GitLab
    r"\bxox[abprs]-[A-Za-z0-9-]{10,}\b",  # Slack
    r"\bdapi[0-9a-f]{32}\b",  # Databricks
    r"\bhf_[A-Za-z0-9]{30,}\b",  # Hugging Face
    r"\bsk-[A-Za-z0-9_-]{20,}\b",  # OpenAI, Anthropic
    r"\bAIza[0-9A-Za-z_-]{35}\b",  # Google
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+",  # JSON web token
)
_URL_PASSWORD = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?P<before>\b(?:password|passwd|secret|api[_-]?key|access[_-]?token)\s*[=:]\s*)[^\s,;&]+", re.IGNORECASE
)
_NUMBER = re.compile(r"[-+0-9.eE_]+|true|false|none", re.IGNORECASE)


class Redaction:
    """The rule that decides what is secret. Immutable, so threads may share it."""

    def __init__(self, more_keys: Iterable[str] = (), *, is_on: bool = True) -> None:
        """``more_keys`` are regular expressions that are searched in names, case aside.

        Raises:
            re.error: one of them is not a regular expression.
        """
        self._is_on = is_on
        self._keys = re.compile(
            "|".join((NAMES_OF_SECRETS, *(f"(?:{key})" for key in more_keys))), re.IGNORECASE
        )
        self._values = re.compile("|".join(LOOKS_OF_SECRETS))

    def apply(self, key: str, value: str) -> str:
        """Return the value, or what may be shown of it."""
        if not self._is_on or _NUMBER.fullmatch(value):
            return value
        if self._keys.search(_words(key)):
            return REDACTED
        return self.apply_to_text(value)

    def apply_to_text(self, text: str) -> str:
        """Return a text without the parts that look like secrets."""
        if not self._is_on:
            return text
        if "PRIVATE KEY-----" in text:
            return REDACTED
        text = self._values.sub(REDACTED, text)
        for rule in (_URL_PASSWORD, _ASSIGNED):
            text = rule.sub(rf"\g<before>{REDACTED}", text)
        return text


def _words(key: str) -> str:
    """Return the name with camelCase taken apart, so that ``apiKey`` reads as ``api_Key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
