"""The kinds that each section of a preset can have, read from the unions of its settings."""

from typing import Any, get_args

from slm_tui.config.data import DataConfig, StoriesData
from slm_tui.config.fields import Variant
from slm_tui.config.model import GptModel, ModelConfig
from slm_tui.config.tokenizer import BpeSettings, TokenizerConfig


def kind_of(variant: type[Variant]) -> str:
    """The name of the variant in a preset."""
    (name,) = get_args(variant.model_fields["kind"].annotation)
    return str(name)


def _variants(union: Any) -> dict[str, type[Variant]]:
    return {kind_of(variant): variant for variant in get_args(get_args(union)[0])}


# By section and kind, in the order in which the form offers them.
KINDS: dict[str, dict[str, type[Variant]]] = {
    "data": _variants(DataConfig),
    "tokenizer": _variants(TokenizerConfig),
    "model": _variants(ModelConfig),
}
# The kind of a section that does not name one.
USUAL: dict[str, type[Variant]] = {
    "data": StoriesData,
    "tokenizer": BpeSettings,
    "model": GptModel,
}


def offered(section: str) -> tuple[str, ...]:
    """The kinds of a section, in the order of the form."""
    return tuple(KINDS[section])
