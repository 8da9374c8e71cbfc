"""What an export returns, and how its files are written: completely or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slm_tui import safe_files
from slm_tui.errors import ExportError, cause_of, remedy_for

Report = Callable[[str], None]
"""Called with what is being done; may raise to cancel."""


def quiet(_: str) -> None:
    """Reports nothing."""


@dataclass(frozen=True)
class Usage:
    """A command that uses the result."""

    purpose: str
    command: str


@dataclass(frozen=True)
class Written:
    """The result: its path, its size in bytes, one line about it, and how to use it.

    `details` are further figures for `--json`, by name.
    """

    path: Path
    bytes: int
    summary: str
    usage: tuple[Usage, ...]
    notes: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)


def check_free(target: Path) -> None:
    """Raise `ExportError` if something is at `target`."""
    if os.path.lexists(target):
        raise ExportError(f"{target} already exists", "", "choose another path")


@contextlib.contextmanager
def directory(target: Path) -> Iterator[Path]:
    """A temporary directory that becomes `target` at the end; nothing remains after a failure.

    Raises:
        ExportError: `target` exists or cannot be written.
    """
    check_free(target)
    with _explained(target):
        temporary = safe_files.make_directory(target.parent, safe_files.MAKING)
        try:
            yield temporary
            safe_files.sync_directory(temporary)
            check_free(target)
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextlib.contextmanager
def file(target: Path) -> Iterator[Path]:
    """The path of a temporary file that becomes `target` at the end; see `directory`.

    Raises:
        ExportError: `target` exists or cannot be written.
    """
    check_free(target)
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    with _explained(target):
        try:
            yield temporary
            safe_files.sync_file(temporary)
            check_free(target)
            os.rename(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason, remedy = cause_of(error), remedy_for(error, "choose another path")
        raise ExportError(f"{target} cannot be written", reason, remedy) from None
