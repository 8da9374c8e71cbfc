"""The errors shown to users: what failed, why, and what to do."""

import errno

_OPEN_FILES = "close other programs, or raise the limit on open files (ulimit -n)"
_ROOM = "free some space on that disk"
# Remedies that apply whatever the program was doing.
_REMEDIES = {
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.ENOMEM: "close other programs: memory is full",
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EIO: "check the disk: it reported an error",
}

# Messages of Python and torch when the system cannot start another thread.
_NO_THREAD = ("can't start new thread", "resource temporarily unavailable")


class SlmTuiError(Exception):
    """An error whose text is meant for the user.

    `what` names what failed, `why` the reason, `remedy` the next thing to try.
    The CLI prints it on one line; the TUI shows it as a notice.
    """

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = self.what
        if self.why:
            text += f": {self.why}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


def cause_of(error: BaseException) -> str:
    """The reason of an error without its file and class, such as "Permission denied"."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def remedy_for(error: BaseException, otherwise: str) -> str:
    """The remedy for a system error: `otherwise`, unless its errno has its own."""
    return _REMEDIES.get(getattr(error, "errno", None) or 0, otherwise)


def is_system_limit(error: BaseException) -> bool:
    """Whether `error` is due to a system limit; the file itself may be intact."""
    return getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def in_words(error: BaseException) -> str:
    """Any error, expected or not, as the most helpful text for a user."""
    if isinstance(error, SlmTuiError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        file = error.filename2 or error.filename
        text = error.strerror if file is None else f"{error.strerror}: {file}"
        remedy = remedy_for(error, "")
        return f"{text}; {remedy}" if remedy else text
    text = str(error)
    if isinstance(error, RuntimeError) and any(sign in text.lower() for sign in _NO_THREAD):
        return (
            "cannot start another thread: the limit on processes or memory has been reached; "
            "close other programs, or raise the limit (ulimit -u)"
        )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class PresetError(SlmTuiError):
    """A preset is not valid, not found, or cannot be written."""


class CorpusError(SlmTuiError):
    """A source cannot be read, or a prepared corpus is damaged."""


class CheckpointError(SlmTuiError):
    """A checkpoint is missing, damaged, or does not fit."""


class RunError(SlmTuiError):
    """A run is missing, busy, or in a state that does not allow the request."""


class TrainingError(SlmTuiError):
    """Training cannot start or continue."""


class ExportError(SlmTuiError):
    """A checkpoint cannot be written in another format."""


class ImportedModelError(SlmTuiError):
    """A model of another program cannot be read."""


class GenerationError(SlmTuiError):
    """Text cannot be generated as requested."""
