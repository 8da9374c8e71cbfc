"""Checksums of files, and a manifest of them that carries a checksum of its own."""

import hashlib
import json
from pathlib import Path
from typing import Any

from slm_tui import safe_files

_SEAL = "seal"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: it is missing, cannot be read, or is no regular file.
    """
    with safe_files.open_to_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(values: dict[str, Any]) -> str:
    """`values` as JSON together with their checksum, so that a damaged manifest is noticed too."""
    return json.dumps({**values, _SEAL: _sum(values)}, indent=1)


def unsealed(text: str) -> dict[str, Any]:
    """The values that `sealed` wrote.

    Raises:
        ValueError: it is no such text, or it was changed.
    """
    values = safe_files.parse_json(text, "the manifest")
    if not isinstance(values, dict) or values.pop(_SEAL, None) != _sum(values):
        raise ValueError("the checksum of its manifest differs")
    return values


def _sum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
