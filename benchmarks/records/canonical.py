"""Writes values as JSON: in the canonical form that is hashed for fingerprints and identities, and as text for people."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """Returns `value` as JSON with sorted keys and no spare space, in ASCII. Raises ValueError for NaN and infinities."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def sha256(value: Any) -> str:
    """Returns the SHA-256 of the canonical form, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def readable(value: Any, ascii_only: bool = False) -> str:
    """Returns `value` as indented JSON with sorted keys, for standard output. Raises ValueError for NaN and infinities."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=ascii_only, allow_nan=False)
