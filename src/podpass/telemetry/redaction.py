"""Secrets never leave as text: a fingerprint stands for them."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

# Three base64url runs with dots between, the first starting as '{"' does: a compact JWS, whole or cut off.
_JWS = re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_PEM_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)


def fingerprint(secret: str | bytes) -> str:
    """A name for a secret that does not reveal it: the first 8 hex digits of its SHA-256."""
    data = secret.encode() if isinstance(secret, str) else secret
    return f"sha256:{hashlib.sha256(data).hexdigest()[:8]}"


def may_hold_secret(text: str) -> bool:
    """Whether `redact_text` might replace anything in *text*, or in a text of which *text* is the JSON."""
    if "-----BEGIN" in text or "eyJ" in text:
        return True
    lower = text.lower()
    return "bearer" in lower or "basic" in lower


def redact_text(text: str) -> str:
    """*text* with everything shaped like a token, an Authorization header or a private key replaced."""
    # Looking for a fixed text first is what makes this cheap on the many texts without secrets.
    if not may_hold_secret(text):
        return text
    if "-----BEGIN" in text:
        text = _PEM_KEY.sub("[private key]", text)
    if "eyJ" in text:
        text = _JWS.sub(lambda found: f"[token {fingerprint(found.group())}]", text)
    return _BEARER.sub(lambda found: f"{found.group(1)} [{fingerprint(found.group())}]", text)


def redact(value: Any) -> Any:
    """*value* with every text inside it redacted; mappings and sequences are copied."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes {fingerprint(value)}]"
    if isinstance(value, Mapping):
        return {key: redact(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [redact(member) for member in value]
    return value
