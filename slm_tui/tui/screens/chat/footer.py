"""The actions in the footer of the Chat screen, most important first."""

from dataclasses import replace

from slm_tui.tui.actions import BY_ID, Action

_CHANGING = ("cooler", "warmer", "fewer", "more")
_OTHER_LABELS = {"continue": "Continue", "inspect": "Back"}


def while_inspecting(*, makes_chunks: bool, shows_chunks: bool) -> list[Action]:
    """In inspect mode; `makes_chunks` says whether the model cuts its text."""
    names = ["continue", "resample", "inspect"]
    names += ["chunks"] * makes_chunks + ["replay"] * shows_chunks
    shown = [BY_ID[f"chat.{name}"] for name in (*names, *_CHANGING)]
    shown = [replace(one, label=_OTHER_LABELS.get(one.name, one.label)) for one in shown]
    return [*shown, BY_ID["app.help"]]


def in_chat(*, writing: bool, typing: bool, newer: bool) -> list[Action]:
    """In the chat; `newer` says whether a newer checkpoint can be loaded."""
    stop = BY_ID["chat.stop"]
    ranked = [BY_ID["chat.continue"]]
    if writing:
        ranked.insert(0, stop)
    elif typing:
        ranked.append(replace(stop, label="Command keys"))
    else:
        ranked.append(BY_ID["chat.type"])
    if newer:
        ranked.append(BY_ID["chat.newest"])
    ranked += [BY_ID["chat.model"], BY_ID["chat.inspect"], BY_ID["chat.side"]]
    if not typing:
        ranked += [BY_ID["chat.cooler"], BY_ID["chat.warmer"], BY_ID["app.copy"]]
    return [*ranked, BY_ID["app.help"]]
