"""`slm-tui checkpoints`: lists and manages the checkpoints of a run."""

import argparse
from pathlib import Path

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.errors import CheckpointError, cause_of
from slm_tui.text import one_line

_CHANGES = (
    ("keep", "never delete a checkpoint automatically"),
    ("release", "let training delete it again, as training.keep_checkpoints says"),
    ("promote", "make it the best checkpoint of its run"),
    ("label", "give it a label, or remove the label"),
    ("delete", "move it to the trash"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui checkpoints`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    listed = commands.add_parser("list", help="list the checkpoints of a run, newest first")
    listed.add_argument("run", help="name, unique prefix, last, or a path")
    shared.add_json(listed, "print one JSON object per line")
    listed.set_defaults(command=_list)
    for what, line in _CHANGES:
        one = commands.add_parser(what, help=line)
        one.add_argument("checkpoint", help="RUN@STEP, RUN@LABEL, RUN@best, RUN@last, or a path")
        one.set_defaults(command=_change, what=what)
    commands.choices["label"].add_argument(
        "label", nargs="?", default="", help="the label; without one, the label is removed"
    )
    commands.choices["delete"].add_argument(
        "--for-good", action="store_true", help="free the disk space instead of using the trash"
    )
    restore = commands.add_parser("restore", help="restore a deleted checkpoint")
    restore.add_argument("checkpoint", help="RUN@STEP, as `delete` printed it")
    restore.set_defaults(command=_restore)


def _list(options: argparse.Namespace) -> int:
    from slm_tui.live.run_scanner import evaluation_losses, read_checkpoints
    from slm_tui.runs import store

    run = store.find(options.run)
    lines = read_checkpoints(run.path, evaluation_losses(run.path))
    if not lines and not options.json:
        output.say(f"{run.id} has no checkpoints")
    for line in lines:
        kinds = {"best": line.is_best, "last": line.is_last, "kept": line.is_kept}
        if options.json:
            loss = line.loss
            values = {"run": run.id, "step": line.step, "val_loss": loss, "label": line.label}
            output.say_json({**values, **kinds, "path": str(line.path)})
        else:
            loss_text = f"{line.loss:.4f}" if line.loss is not None else "-"
            words = [word for word, there in kinds.items() if there]
            words += [one_line(line.label)] if line.label else []
            output.say(f"{line.step:>9,}  {loss_text:>7}  {' '.join(words)}".rstrip())
    return 0


def _change(options: argparse.Namespace) -> int:
    from slm_tui.runs import checkpoints, store

    path = store.find_checkpoint(options.checkpoint)
    name = address(path)
    try:
        if options.what in ("keep", "release"):
            checkpoints.keep(path, on=options.what == "keep")
            output.say(f"{name} is {'kept' if options.what == 'keep' else 'no longer kept'}")
        elif options.what == "promote":
            checkpoints.promote(path)
            output.say(f"{name} is now the best checkpoint of its run")
        elif options.what == "label":
            checkpoints.set_label(path, options.label)
            output.say(
                f"{name} {f'is labelled {options.label}' if options.label else 'has no label now'}"
            )
        elif options.for_good:
            checkpoints.erase(path)
            output.say(f"deleted {name}")
        else:
            checkpoints.delete(path)
            output.say(
                f"moved {name} to the trash; restore it with: slm-tui checkpoints restore {name}"
            )
    except OSError as error:
        raise CheckpointError(f"{name} cannot be changed", cause_of(error)) from None
    return 0


def _restore(options: argparse.Namespace) -> int:
    from slm_tui.runs import trash

    wanted = options.checkpoint
    run, _, step = wanted.partition("@")
    found = [
        one
        for one in trash.entries()
        if one.kind == "checkpoint"
        and one.name.partition("@")[0].startswith(run)
        and _is_step(one.name.partition("@")[2], step)
    ]
    if not found:
        raise CheckpointError(
            f"{wanted} is not deleted", "the trash has no such checkpoint", "write RUN@STEP"
        )
    if len({one.name for one in found}) > 1:
        names = ", ".join(one.name for one in found[:4])
        raise CheckpointError(
            f"{wanted!r} matches {len(found)} deleted checkpoints", names, "use more of the name"
        )
    try:
        output.say(f"restored {trash.restore(found[0])}")
    except OSError as error:
        raise CheckpointError(f"{wanted} cannot be restored", cause_of(error)) from None
    return 0


def _is_step(name: str, wanted: str) -> bool:
    from slm_tui.training import checkpoint_dir

    steps = wanted.replace(",", "")
    short = steps.isdecimal() and len(steps) < 16
    return name == (checkpoint_dir.name_of(int(steps)) if short else wanted)


def address(path: Path) -> str:
    """`RUN@STEP` of the checkpoint at `path`."""
    from slm_tui.runs import checkpoints
    from slm_tui.training import checkpoint_dir

    return f"{checkpoints.run_of(path).id}@{checkpoint_dir.linked_step(path)}"
