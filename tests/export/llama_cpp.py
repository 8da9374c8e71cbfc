"""The real llama.cpp, in this process, behind its own server on this machine."""

import json
import urllib.request
from pathlib import Path
from typing import Any


class LlamaCpp:
    """A model in a GGUF file, computed in f32 by one thread."""

    def __init__(self, path: Path, context: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.n_gpu_layers = 0
        params.warmup = params.fit_params = params.cache_prompt = False
        params.verbosity = 1
        # Its cache of keys and values is in f16 by default.
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._server = xllamacpp.Server(params)

    def _ask(self, name: str, **values: object) -> Any:
        data, kind = json.dumps(values).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self._server.listening_address + name, data, kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def greedy(self, ids: list[int], count: int) -> list[int]:
        """The most likely tokens after `ids`; at most `count`, fewer if a text ends."""
        options = {"temperature": 0, "return_tokens": True, "cache_prompt": False}
        answer = self._ask("/completion", prompt=ids, n_predict=count, **options)
        tokens: list[int] = answer["tokens"]
        return tokens

    def log_probabilities(self, ids: list[int], n_vocab: int) -> dict[int, float]:
        """Of every token after `ids`; empty if the likeliest is part of a character."""
        options = {"temperature": 0, "n_probs": n_vocab, "cache_prompt": False}
        answer = self._ask("/completion", prompt=ids, n_predict=1, **options)
        places = answer.get("completion_probabilities", [])
        return {one["id"]: one["logprob"] for place in places for one in place["top_logprobs"]}

    def tokenize(self, text: str, *, begin: bool = False) -> list[int]:
        """The ids of `text`; names of special tokens are ordinary text."""
        options = {"add_special": begin, "parse_special": False}
        ids: list[int] = self._ask("/tokenize", content=text, **options)["tokens"]
        return ids

    def detokenize(self, ids: list[int]) -> str:
        """The text of `ids`."""
        text: str = self._ask("/detokenize", tokens=ids)["content"]
        return text
