"""The errors that users see: what failed, why, and what to do."""

import errno

_OPEN_FILES = "close other programs, or raise the limit on open files (ulimit -n)"
_ROOM = "free some space on that disk"
# What helps, whatever the program was doing.
_REMEDIES = {
    errno.EMFILE: _OPEN_FILES,
    errno.ENFILE: _OPEN_FILES,
    errno.ENOMEM: "close other programs: memory is full",
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EIO: "check the disk: it reports errors",
}

# What Python and torch say when the system cannot start another thread.
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
    """Why something failed, without the file and the class of the error: "Permission denied"."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def remedy_for(error: BaseException, otherwise: str) -> str:
    """What to do about an error of the system: `otherwise`, unless its errno says more."""
    return _REMEDIES.get(getattr(error, "errno", None) or 0, otherwise)


def is_system_limit(error: BaseException) -> bool:
    """Whether `error` is about a limit of the system, and not about the file: it may be whole."""
    return getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def in_words(error: BaseException) -> str:
    """An error that was perhaps not foreseen, in the words that say most to a user."""
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
            "no more threads can be started: the limit on processes or memory has been reached; "
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
    """Training cannot start or go on."""


class GenerationError(SlmTuiError):
    """Text cannot be generated as asked."""
