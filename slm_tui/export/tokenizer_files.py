"""`tokenizer.json` and `tokenizer_config.json` that give the ids of our tokenizers."""

import json
from typing import Any

from slm_tui.corpus.tokenizers import ForeignTokenizer, Tokenizer
from slm_tui.corpus.tokenizers.long_runs import LONGEST
from slm_tui.corpus.tokenizers.tokenizer_file import END_OF_TEXT

# Like `long_runs`: letters and digits, whitespace, everything else.
_SPACES = r"\s\x1c-\x1f"
_RUN_CLASSES = (r"[\p{L}\p{N}]", f"[{_SPACES}]", rf"[^\p{{L}}\p{{N}}{_SPACES}]")


def tokenizer_json(tokenizer: Tokenizer, *, begin: bool) -> str:
    """The file for the library `tokenizers`.

    That of an imported model is unchanged. Ours differs from that of a checkpoint in three ways:
    special tokens are no part of the vocabulary that text is looked up in, long runs are split
    where ours are, and with `begin` end-of-text is put in front of a text, as before every
    document in training.
    """
    values: dict[str, Any] = json.loads(tokenizer.to_json())
    model = values["model"]
    model.pop("slm_tui")
    if isinstance(tokenizer, ForeignTokenizer):
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    for token in values["added_tokens"]:
        del model["vocab"][token["content"]]
    if tokenizer.kind in {"bpe", "gpt2"}:
        values["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [_long_runs(), values["pre_tokenizer"]],
        }
    if begin:
        values["post_processor"] = _begins(tokenizer.end_of_text)
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def tokenizer_config(tokenizer: Tokenizer, context: int | None) -> dict[str, Any]:
    """The values of `tokenizer_config.json`; `context` is in tokens, `None` without a limit."""
    begin = end = END_OF_TEXT
    if isinstance(tokenizer, ForeignTokenizer):
        begin = tokenizer.name_of(tokenizer.document_start)
        end = tokenizer.name_of(tokenizer.end_of_text)
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": end,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        # The name of a special token in a text is ordinary text.
        "split_special_tokens": True,
    }
    return values if context is None else {**values, "model_max_length": context}


def _long_runs() -> dict[str, Any]:
    """Ends a piece after every 4,096 characters of a longer run."""
    parts = (f"{one}{{{LONGEST}}}(?={one})" for one in _RUN_CLASSES)
    return {
        "type": "Split",
        "pattern": {"Regex": "|".join(parts)},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }


def _begins(end_of_text: int) -> dict[str, Any]:
    special = {"SpecialToken": {"id": END_OF_TEXT, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    token = {"id": END_OF_TEXT, "ids": [end_of_text], "tokens": [END_OF_TEXT]}
    return {
        "type": "TemplateProcessing",
        "single": [special, first],
        "pair": [special, first, special, second],
        "special_tokens": {END_OF_TEXT: token},
    }
