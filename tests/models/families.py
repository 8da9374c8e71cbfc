"""The model families that the contract tests run on: all that can be built.

A family that is registered in `slm_tui.models.build` is tested with its default settings and a
short window. Here it can add variants, and say which of its parameters get no gradient.
"""

import itertools
from dataclasses import dataclass
from typing import Any

from slm_tui.config.kinds import kind_of
from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.models.build import FAMILIES

BLOCK_SIZE = 12
GPT_SWITCHES: list[dict[str, object]] = [
    dict(
        zip(
            ("position", "norm", "activation", "qk_norm", "tie_weights", "bias"),
            chosen,
            strict=True,
        )
    )
    for chosen in itertools.product(
        ("learned", "rope"),
        ("layernorm", "rmsnorm"),
        ("gelu", "relu2", "swiglu"),
        (False, True),
        (False, True),
        (False, True),
    )
]
GPT_EMBEDDINGS: list[dict[str, object]] = [
    {"value_embeddings": True},
    {"ngram_order": 2, "ngram_rows": 31},
    {
        "ngram_order": 4,
        "ngram_rows": 7,
        "position": "rope",
        "tie_weights": False,
        "value_embeddings": True,
    },
]

# Heads and widths that imported models have.
GPT_HEADS: list[dict[str, object]] = [
    {**GPT_SWITCHES[-1], "n_head": 4, "n_kv_head": keys, "head_width": 6, **more}
    for keys, more in (
        (1, {"qk_norm": True, "qk_norm_weights": True, "qk_norm_eps": 1e-6}),
        (2, {"inner_width": 20, "rope_base": 500.0, "norm_eps": 1e-6}),
        (4, {"position": "learned", "norm": "layernorm", "activation": "gelu_tanh"}),
    )
]

# Every pair of choices of two switches occurs.
HGRN_SWITCHES: list[dict[str, object]] = [
    {
        "conv_size": 4 * a,
        "expand_ratio": 1 + b,
        "lower_bound": bool(c),
        "gate_order": ("hidden", "gate")[a ^ b],
        "tie_weights": bool(a ^ c),
        "ternary": not (b ^ c),
    }
    for a, b, c in itertools.product((0, 1), repeat=3)
]
HNET_STAGES: list[dict[str, object]] = [
    {
        "d_model": (16, 24),
        "num_blocks": ((1, 0, 1), (2,)),
    },
    {
        "d_model": (16, 16, 24),
        "num_blocks": ((1, 0, 0), (0, 0, 1), (1,)),
    },
]


@dataclass(frozen=True)
class Facts:
    """What the tests need to know of a family.

    Attributes:
        size: settings that make it small.
        variants: settings of each variant, besides.
        without_gradient: how the names end of parameters that no loss depends on.
        without_randomness: how the names end of matrices that start with the same values always.
        works_on_every_position: whether each weight is used at every position.
        double: whether passes are compared in fp64.
    """

    size: dict[str, Any]
    variants: tuple[dict[str, Any], ...] = ({},)
    without_gradient: tuple[str, ...] = ()
    without_randomness: tuple[str, ...] = ()
    works_on_every_position: bool = True
    double: bool = False


FACTS: dict[type[ModelSettings], Facts] = {
    GptModel: Facts(
        size={"n_layer": 2, "n_head": 2, "n_embd": 16},
        variants=(*GPT_SWITCHES, *GPT_HEADS, *GPT_EMBEDDINGS),
        # A bias of the keys shifts all scores of a query alike: softmax does not see it.
        without_gradient=("qkv.bias",),
    ),
    HgrnModel: Facts(
        size={"n_layer": 2, "n_embd": 16},
        variants=tuple(HGRN_SWITCHES),
        double=True,
    ),
    HnetModel: Facts(
        size={},
        variants=tuple(
            {**stages, "conv_size": size, "ternary": rounded}
            for stages in HNET_STAGES
            for size in (0, 4)
            for rounded in (True, False)
        ),
        without_randomness=("query.weight", "key.weight", "residual.weight"),
        works_on_every_position=False,
        double=True,
    ),
}


def facts_of(family: type[ModelSettings]) -> Facts:
    """The facts of a family; those of one that gave none are its defaults."""
    return FACTS.get(family, Facts({}))


def variants(every: int = 1) -> list[ModelSettings]:
    """The settings of each variant of each family, or of the first and `every` so many-th."""
    found: list[ModelSettings] = []
    for family in FAMILIES:
        facts = facts_of(family)
        for variant in facts.variants[::every]:
            values = {"kind": kind_of(family), "block_size": BLOCK_SIZE, **facts.size, **variant}
            found.append(family.model_validate(values))
    return found


def named(config: ModelSettings) -> str:
    """The id of a variant: its family and what it has beside its size."""
    facts = facts_of(type(config))
    chosen = facts.variants[0]
    return "-".join([kind_of(type(config)), *(str(getattr(config, name)) for name in chosen)])
