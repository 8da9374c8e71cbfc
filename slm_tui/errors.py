"""The errors that users see: what failed, why, and what to do."""

# What Python and torch say where the system starts no more threads.
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


def in_words(error: BaseException) -> str:
    """An error that was perhaps not foreseen, in the words that say most to a user."""
    if isinstance(error, SlmTuiError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        file = error.filename2 or error.filename
        return error.strerror if file is None else f"{error.strerror}: {file}"
    text = str(error)
    if isinstance(error, RuntimeError) and any(sign in text.lower() for sign in _NO_THREAD):
        return (
            "the system starts no more threads: a limit of processes or of memory is reached; "
            "end other programs, or raise the limit (ulimit -u)"
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
