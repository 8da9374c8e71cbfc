"""The conversation with one run: earlier completions, and where they are saved."""

import time
from pathlib import Path

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.generation_thread import GenerationStatus
from slm_tui.runs import conversation
from slm_tui.runs.conversation import Exchange
from slm_tui.tui.screens.chat.checkpoints import run_label
from slm_tui.tui.screens.chat.panels import figures
from slm_tui.tui.screens.chat.transcript import Entry

SHOWN = 50
_WITHOUT = {"prompts", "seed"}


class Conversation:
    """The completions of the run in `run`; `None` for a checkpoint outside of runs, for which
    nothing is saved."""

    def __init__(self, run: Path | None = None) -> None:
        self.run = run
        self.earlier = conversation.read(run) if run is not None else []
        self._reported = False

    @property
    def name(self) -> str:
        """The name of the run."""
        return run_label(self.run) if self.run is not None else ""

    def prompts(self) -> list[str]:
        """Earlier prompts, each as typed on one line."""
        return [one.prompt.replace("\n", "\\n") for one in self.earlier if one.prompt]

    def entries(self) -> list[Entry]:
        """The newest earlier completions, under a heading; empty if there are none."""
        if not self.earlier:
            return []
        many = len(self.earlier)
        older = f", the last {SHOWN} of {many:,}" if many > SHOWN else ""
        shown = [entry_of(one, self.name) for one in self.earlier[-SHOWN:]]
        return [Entry("note", text=f"earlier{older}"), *shown]

    def keep(self, entry: Entry, exchange: Exchange) -> str:
        """Save a finished completion; return, once only, why that failed."""
        entry.exchange = exchange
        if self.run is None:
            return ""
        try:
            conversation.append(self.run, exchange)
        except SlmTuiError as error:
            if not self._reported:
                self._reported = True
                return str(error)
        return ""

    def count(self) -> str:
        """The number of saved completions, in words; empty for none.

        Raises:
            GenerationError: no run is loaded.
        """
        exchanges = self._read()
        return f"{len(exchanges):,} completion{'s' * (len(exchanges) != 1)}" if exchanges else ""

    def describe(self) -> str:
        """What is saved, since when and where.

        Raises:
            GenerationError: no run is loaded.
        """
        exchanges = self._read()
        if not exchanges or self.run is None:
            return f"no saved chats with {self.name} yet"
        since = time.strftime("%Y-%m-%d", time.localtime(min(one.time for one in exchanges)))
        where = self.run / conversation.FILE
        return f"{self.count()} since {since} in {where}; /history clear deletes them"

    def forget(self) -> Path | None:
        """Move everything to the trash; return the new location.

        Raises:
            SlmTuiError: it cannot be moved.
        """
        if self.run is None:
            return None
        self.earlier = []
        return conversation.clear(self.run)

    def _read(self) -> list[Exchange]:
        if self.run is None:
            raise GenerationError("no run is loaded", "", "use /model to choose a checkpoint")
        return conversation.read(self.run)


def exchange_of(
    entry: Entry,
    generation: GenerationStatus,
    sampling: Sampling,
    counted: tuple[int, int],
    ending: str,
) -> Exchange:
    """`entry` as it is saved. `counted` are its tokens in total, and its invalid UTF-8 bytes; its
    seed is that of its start."""
    before = entry.exchange
    exchange = Exchange(
        prompt=entry.prompt,
        text=entry.text,
        step=generation.facts.step if generation.facts else 0,
        seed=sampling.seed,
        ended=ending,
        sampling=sampling.model_dump(mode="json", exclude=_WITHOUT),
        tokens=counted[0],
        tokens_per_second=round(generation.tokens_per_second, 1),
        invalid_bytes=counted[1],
    )
    if before is None:
        return exchange
    return Exchange(**{**vars(exchange), "id": before.id, "seed": before.seed})


def entry_of(one: Exchange, name: str) -> Entry:
    """A saved completion as an entry: like the original, with the date in front."""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
    try:
        settings = ChatSettings(Sampling(**{**one.sampling, "seed": one.seed})).short()
    except ValueError:  # saved by another version
        settings = [f"seed {one.seed}"]
    heading = " · ".join([day, f"{name} @ {one.step:,}", *settings])
    ending = f"{figures(one.tokens, one.tokens_per_second, one.invalid_bytes)} · {one.ended}"
    return Entry("text", heading, one.prompt, one.text, ending, exchange=one)
