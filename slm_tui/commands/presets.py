"""`slm-tui presets`: the preset library on the command line."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.formatting import count, duration, ratio_text, size
from slm_tui.text import visible

if TYPE_CHECKING:
    from slm_tui.config.estimate import Calibration
    from slm_tui.config.preset import Preset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui presets`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    listing = commands.add_parser("list", help="list all presets with their sizes")
    shared.add_json(listing, "print one JSON object per line")
    show = commands.add_parser(
        "show", help="show the settings of a preset, explained, and its budget"
    )
    show.add_argument("name", help="preset name or .toml file")
    show.add_argument("--toml", action="store_true", help="print as TOML")
    shared.add_set(show)
    check = commands.add_parser("check", help="validate a TOML file")
    check.add_argument("file", help="the TOML file")
    copy = commands.add_parser("copy", help="copy a preset to a new user preset")
    copy.add_argument("name", help="preset to copy")
    copy.add_argument("new", help="name of the copy")
    imported = commands.add_parser(
        "import", help="make a user preset of a configuration file of simplified-slm"
    )
    imported.add_argument("file", type=Path, help="a JSON file of a model or an experiment")
    imported.add_argument("--name", default="", help="name of the preset (default: from the file)")
    commands.add_parser("schema", help="print the JSON schema of presets, for editors")
    for what, one in commands.choices.items():
        one.set_defaults(command=presets, what=what)


def presets(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    from slm_tui.config import library, overrides

    if options.what == "list":
        _list(as_json=options.json)
    elif options.what == "show":
        preset = overrides.apply(library.get(options.name), options.assignments)
        output.say(preset.to_toml() if options.toml else "\n".join(_shown(preset)))
    elif options.what == "check":
        _check(Path(options.file))
    elif options.what == "import":
        _import(options.file.expanduser(), options.name)
    elif options.what == "schema":
        from slm_tui.config.schema import preset_schema

        output.say(json.dumps(preset_schema(), indent=2))
    else:
        copy = library.copy(options.name, options.new)
        output.say(f"saved {library.find(copy.name).path}")  # type: ignore[union-attr]
    return 0


def _list(*, as_json: bool) -> None:
    from slm_tui.config import library
    from slm_tui.corpus.known import cost_of

    group = ""
    for entry in library.entries():
        if as_json:
            values = entry.preset.to_dict() if entry.preset else {}
            output.say_json({"name": entry.name, "error": entry.error, "preset": values})
            continue
        heading = entry.preset.group if entry.preset else "not valid"
        if heading != group:
            group = heading
            output.say(f"\n{group}" if group else "")
        if entry.preset is None:
            output.say(f"  {entry.name:25} {entry.error}")
            continue
        numbers = cost_of(entry.preset)
        steps = entry.preset.training.max_steps
        output.say(
            f"  {entry.name:25} {count(numbers.parameters):>6} parameters  {steps:>6,} steps  "
            f"{entry.preset.title}"
        )


def _shown(preset: "Preset") -> list[str]:
    from slm_tui.config import describe, overrides

    lines = [f"{preset.name}: {preset.title}", preset.description, ""]
    from slm_tui.training.calibrate import calibration

    lines += [f"{name:22} {value}" for name, value in budget(preset, calibration())]
    values = preset.to_dict()
    section = ""
    for one in describe.settings(values):
        if one.section == "preset":
            continue
        if one.section != section:
            section = one.section
            lines += ["", f"[{section}]"]
        value = overrides.get(values, one.path)
        shown = "-" if value is None else visible(str(value), keep="")
        facts = [one.unit, describe.range_text(one), " | ".join(one.choices)]
        limits = "; ".join(fact for fact in facts if fact)
        lines.append(f"{one.path:32} {shown:20} {one.help}" + (f" ({limits})" if limits else ""))
    return lines


def budget(preset: "Preset", speed: "Calibration | None" = None) -> list[tuple[str, str]]:
    """The cost of the preset, as labels and values; with the `speed` of the device, its time."""
    from slm_tui.config.estimate import COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER
    from slm_tui.corpus.known import cost_of

    numbers = cost_of(preset, speed)
    timed = "unknown: the device is busy"
    if numbers.seconds is not None and speed is not None:
        timed = f"about {duration(numbers.seconds)} on {speed.device.partition(',')[0]}"
    rows = [
        ("parameters", f"{numbers.parameters:,} ({numbers.non_embedding:,} without embeddings)"),
        ("vocabulary", f"{numbers.n_vocab:,}"),
        ("tokens per step", f"{numbers.tokens_per_step:,}"),
        ("total tokens", count(numbers.tokens)),
        ("memory", f"about {size(numbers.memory_bytes)}"),
        ("checkpoint", size(numbers.checkpoint_bytes)),
        ("time", timed),
    ]
    if numbers.epochs is not None and numbers.tokens_per_parameter is not None:
        rows += [
            ("epochs", f"about {ratio_text(numbers.epochs)}"),
            (
                "tokens per parameter",
                f"about {ratio_text(numbers.tokens_per_parameter)} "
                f"({COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is compute-optimal)",
            ),
        ]
    return rows


def _import(path: Path, name: str) -> None:
    """Save the preset that a file of another program describes; list what it has no place for."""
    from slm_tui.config import library, simplified_slm
    from slm_tui.config.preset import parse
    from slm_tui.paths import check_name

    result = simplified_slm.read(path)
    preset = result.preset
    if name:
        preset = parse({**preset.to_dict(), "name": check_name(name, "preset name")}, name)
    saved = library.save(preset, replace=False)
    output.say(f"saved {saved}")
    for note in result.notes:
        output.say(note)
    output.say(f"train it with: slm-tui train {preset.name}")


def _check(path: Path) -> None:
    from slm_tui.config.preset import from_file

    preset = from_file(path)
    output.say(f"{path} is valid: {preset.name}")
