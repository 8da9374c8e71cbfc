"""The formats of an export, listed without torch for the command line and the screens."""

from dataclasses import dataclass
from typing import Literal, get_args

WeightType = Literal["f32", "f16", "q8_0"]
WEIGHT_TYPES: tuple[WeightType, ...] = get_args(WeightType)


@dataclass(frozen=True)
class ExportFormat:
    """A format: its name, what it is, the model families it holds, the end of its path."""

    name: str
    help: str
    families: frozenset[str]
    suffix: str


FORMATS = {
    one.name: one
    for one in (
        ExportFormat(
            "huggingface",
            "a directory for transformers",
            frozenset({"gpt", "hgrn", "hnet"}),
            "-huggingface",
        ),
        ExportFormat("gguf", "a file for llama.cpp and Ollama", frozenset({"gpt"}), ".gguf"),
        ExportFormat(
            "ternary",
            "weights of -1, 0 and 1 in two bits each",
            frozenset({"hgrn", "hnet"}),
            "-ternary",
        ),
    )
}


def families_text(one: ExportFormat) -> str:
    """The families in words."""
    *first, last = sorted(one.families)
    return f"{', '.join(first)} and {last}" if first else last
