"""The part of the Chat screen that keeps conversations with their runs and brings them back."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.runs import conversation
from slm_tui.runs.conversation import Said
from slm_tui.runs.info import run_of
from slm_tui.runs.speaker import Spoken
from slm_tui.tui.dialogs import Choice, Question, complain
from slm_tui.tui.screens.chat_commands import ChatSettings
from slm_tui.tui.screens.chat_input import PromptInput
from slm_tui.tui.screens.chat_models import run_label
from slm_tui.tui.screens.chat_panels import figures
from slm_tui.tui.screens.chat_transcript import Entry

if TYPE_CHECKING:
    from slm_tui.tui.screens.chat import ChatScreen

SHOWN = 50
_WITH = {"prompts", "seed"}


def said(
    entry: Entry, spoken: Spoken, sampling: Sampling, counted: tuple[int, int], ending: str
) -> Said:
    """`entry` as it is kept. `counted` are its tokens in all, and bytes that are not UTF-8; its
    seed stays that of its beginning."""
    before = entry.said
    made = Said(
        prompt=entry.prompt,
        text=entry.text,
        step=spoken.facts.step if spoken.facts else 0,
        seed=sampling.seed,
        ended=ending,
        sampling=sampling.model_dump(mode="json", exclude=_WITH),
        tokens=counted[0],
        tokens_per_second=round(spoken.tokens_per_second, 1),
        invalid_bytes=counted[1],
    )
    if before is None:
        return made
    return Said(**{**vars(made), "id": before.id, "seed": before.seed})


def entry_of(one: Said, name: str) -> Entry:
    """What was kept, as it is shown: the day in front, then all as it was."""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.time))
    try:
        drawn = ChatSettings(Sampling(**{**one.sampling, "seed": one.seed})).short()
    except ValueError:  # of another version
        drawn = [f"seed {one.seed}"]
    heading = " · ".join([day, f"{name} @ {one.step:,}", *drawn])
    ending = f"{figures(one.tokens, one.tokens_per_second, one.invalid_bytes)} · {one.ended}"
    return Entry("text", heading, one.prompt, one.text, ending, said=one)


def typed(prompt: str) -> str:
    """A prompt as it is typed on one line."""
    return prompt.replace("\n", "\\n")


class ChatHistory:
    """Each run has its own conversation; the transcript shows that of the loaded one."""

    _run: Path | None = None
    _told: Path | None = None  # the run of which it was said that nothing can be kept

    _named: tuple[object, str] = (None, "")

    @property
    def _chat(self) -> "ChatScreen":
        return cast("ChatScreen", self)

    def run_name(self) -> str:
        """The name of the run that is loaded or will be."""
        chat = self._chat
        facts = chat._spoken.facts
        path = facts.checkpoint if facts is not None else chat._wanted
        if path is None:
            return ""
        if self._named[0] != path:
            self._named = (path, run_label(path))
        return self._named[1]

    def show_history(self, path: Path) -> None:
        """Show the conversation with the run of `path`, if another one is shown."""
        chat, run = self._chat, run_of(path)
        if run is not None and run == self._run:
            return
        had, self._run = self._run, run
        kept = conversation.read(run) if run is not None else []
        if had is not None or kept:
            chat.transcript.clear()
            chat.talk.entry = None
        chat.query_one(PromptInput).recall([typed(one.prompt) for one in kept if one.prompt])
        if run is None or not kept:
            return
        name, shown = run_label(run), kept[-SHOWN:]
        older = f", the last {SHOWN} of {len(kept):,}" if len(kept) > SHOWN else ""
        chat.transcript.add_all(
            [Entry("note", text=f"earlier{older}"), *(entry_of(one, name) for one in shown)]
        )

    def keep(self, entry: Entry, ending: str) -> None:
        """Keep a text that has ended with its run; where that cannot be, say so once."""
        chat, run = self._chat, self._run
        if run is None or not (entry.text or ending == "end of text"):
            return
        sampling = entry.drawn_with or chat.settings.sampling
        entry.said = said(entry, chat._spoken, sampling, chat.talk.figures(chat._spoken), ending)
        try:
            conversation.append(run, entry.said)
        except SlmTuiError as error:
            if self._told != run:
                self._told = run
                chat.transcript.add(Entry("note", text=f"! {error}"))

    def history(self, argument: str) -> str:
        """`/history`: how much is kept, or asks whether to forget it. Returns what to tell.

        Raises:
            GenerationError: there is no run, or nothing is kept.
        """
        run = self._run
        if argument not in ("", "clear"):
            raise GenerationError(
                f"/history {argument} cannot be used", "", "/history counts, /history clear forgets"
            )
        if run is None:
            raise GenerationError("no run is loaded", "", "/model chooses a checkpoint")
        kept = conversation.read(run)
        if not kept:
            return f"nothing is kept of chats with {run_label(run)} yet"
        many = f"{len(kept):,} text{'s' * (len(kept) != 1)}"
        if not argument:
            since = time.strftime("%Y-%m-%d", time.localtime(min(one.time for one in kept)))
            return f"{many} since {since} in {run / conversation.FILE}; /history clear forgets them"
        question = Question(
            f"Forget the conversation with {run_label(run)}?",
            f"{many} go to the trash; the run and its checkpoints stay.",
            [Choice("keep", "Keep"), Choice("clear", "Forget", "move it to the trash")],
            "keep",
        )
        self._chat.app.push_screen(question, self._clear)
        return ""

    def _clear(self, answer: str | None) -> None:
        if answer != "clear" or self._run is None:
            return
        chat = self._chat
        try:
            went = conversation.clear(self._run)
        except SlmTuiError as error:
            complain(chat.app, error)
            return
        chat.transcript.clear()
        chat.talk.entry = None
        chat.query_one(PromptInput).recall([])
        chat.transcript.add(Entry("note", text=f"the conversation is in {went}"))
