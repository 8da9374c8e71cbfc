"""The errors that users see: what failed, why, and what to do."""


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
