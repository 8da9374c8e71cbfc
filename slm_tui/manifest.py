"""Checksums of files, and a manifest with its own checksum."""

import hashlib
import json
from pathlib import Path
from typing import Any

from slm_tui import safe_files

_SEAL = "seal"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: it is missing, cannot be read, or is not a regular file.
    """
    with safe_files.open_to_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(values: dict[str, Any]) -> str:
    """`values` as JSON with their checksum, so that damage to the manifest is detected too."""
    return json.dumps({**values, _SEAL: _sum(values)}, indent=1)


def unsealed(text: str) -> dict[str, Any]:
    """The values that `sealed` wrote.

    Raises:
        ValueError: it is not such a text, or it was changed.
    """
    values = safe_files.parse_json(text, "the manifest")
    if not isinstance(values, dict) or values.pop(_SEAL, None) != _sum(values):
        raise ValueError("the checksum of its manifest does not match")
    return values


def _sum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
