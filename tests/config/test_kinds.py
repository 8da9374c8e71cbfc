"""The kinds of each section: read from the unions; only trainable ones are offered."""

import pytest

from slm_tui.config import describe, kinds
from slm_tui.config.describe import nudged
from slm_tui.config.overrides import put
from slm_tui.config.preset import Preset, check
from tests.conftest import tiny_values

ALL = [(section, kind) for section, variants in kinds.KINDS.items() for kind in variants]


def test_the_kinds_match_the_schema_and_its_order() -> None:
    named = Preset.model_json_schema()["properties"]
    for section, first in (("data", "stories"), ("tokenizer", "bytes"), ("model", "gpt")):
        mapping = named[section]["discriminator"]["mapping"]
        assert sorted(mapping) == sorted(kinds.KINDS[section])
        assert next(iter(kinds.KINDS[section])) == first
        assert kinds.USUAL[section] in kinds.KINDS[section].values()
    assert set(kinds.KINDS["data"]) >= {"stories", "file", "directory", "huggingface"}
    assert set(kinds.KINDS["tokenizer"]) >= {"bytes", "chars", "bpe", "gpt2"}
    assert set(kinds.KINDS["model"]) >= {"gpt", "hgrn", "hnet"}


def test_every_source_and_tokenizer_has_an_implementation() -> None:
    from slm_tui.corpus.build import TOKENIZERS
    from slm_tui.corpus.sources import SOURCES

    assert set(SOURCES) == set(kinds.KINDS["data"].values())
    assert set(TOKENIZERS) == set(kinds.KINDS["tokenizer"].values())


@pytest.mark.parametrize("section", kinds.KINDS)
def test_an_unknown_kind_gets_the_trainable_ones_as_suggestions(section: str) -> None:
    preset, wrong = check(put(tiny_values(), f"{section}.kind", "mamba"))
    assert preset is None
    (problem,) = wrong
    assert problem.path == f"{section}.kind"
    suggestions = problem.message.partition("; try ")[2].replace(" or ", ", ").split(", ")
    assert tuple(suggestions) == kinds.offered(section)
    assert problem.works in suggestions


def test_a_misspelt_kind_gets_the_nearest_as_suggestion() -> None:
    _, (problem,) = check(tiny_values(tokenizer={"kind": "gtp2"}))
    assert problem.works == "gpt2"


@pytest.mark.parametrize("section", kinds.KINDS)
def test_the_form_reaches_every_kind(section: str) -> None:
    (one,) = [one for one in describe.settings({}) if one.path == f"{section}.kind"]
    assert one.choices == kinds.offered(section)
    seen = {nudged(one, value, way, {}) for value in one.choices for way in (1, -1)}
    assert seen == set(one.choices)
