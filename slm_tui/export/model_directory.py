"""The files of a transformers model in a directory: checked before anything is loaded.

They are untrusted: only JSON and safetensors are read, links inside the directory are followed
(the hub's cache is made of links), and no code is run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from slm_tui import safe_files
from slm_tui.corpus.tokenizers import ForeignTokenizer
from slm_tui.errors import CorpusError, ImportedModelError, cause_of
from slm_tui.export import foreign_models
from slm_tui.export.architectures import Name
from slm_tui.formatting import size
from slm_tui.training.checkpoint import MOST_TOKENIZER
from slm_tui.training.cpu_load import available_bytes

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
_MOST_JSON = 1 << 24
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_FLOATS = {"F32", "F16", "BF16", "F64"}
# Weights as they are stored, as fp32, and once more in our layout.
_COPIES = 3


class ModelDirectory:
    """A directory with `config.json`, weights and `tokenizer.json`."""

    def __init__(self, path: Path, context: int | None = None) -> None:
        """Read the settings; see `foreign_models.model_of`.

        Raises:
            ImportedModelError: a file is missing or damaged, or the model cannot be imported.
        """
        self.path = path
        self._refuse_other_formats()
        self.config = self._json("config.json")
        self.name: Name
        self.name, self.model, self.n_vocab = foreign_models.model_of(self.config, context)

    def _refuse_other_formats(self) -> None:
        if not self.path.is_dir():
            if self.path.suffix == ".gguf":
                raise _gguf(self.path)
            raise ImportedModelError(
                f"{self.path} cannot be imported",
                "it is not a directory" if self.path.exists() else "it does not exist",
                "give the directory that holds config.json and model.safetensors",
            )
        names = sorted(path.name for path in self.path.iterdir())
        if any(name.endswith(".safetensors") for name in names):
            return
        if pickles := [name for name in names if name.endswith(_PICKLES)]:
            code = "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW)"
            raise ImportedModelError(
                f"{self.path.name} cannot be imported",
                f"{pickles[0]} is a pickle, which can run code when it is opened",
                f"get its safetensors, or, if you trust it, convert it with transformers: {code}",
            )
        if any(name.endswith(".gguf") for name in names):
            raise _gguf(self.path)
        raise ImportedModelError(
            f"{self.path.name} cannot be imported",
            "it has no weights (model.safetensors)",
            "give the directory of a model saved by transformers",
        )

    def _json(self, name: str) -> Mapping[str, Any]:
        try:
            values = safe_files.read_json(_real(self.path / name), _MOST_JSON)
        except FileNotFoundError:
            raise _missing(self.path, name) from None
        except (OSError, ValueError) as error:
            raise ImportedModelError(f"{name} cannot be read", cause_of(error)) from None
        if not isinstance(values, dict):
            raise ImportedModelError(f"{name} cannot be used", "it does not hold an object")
        return values

    def tokenizer(self) -> tuple[ForeignTokenizer, bool]:
        """The tokenizer, and whether it puts a token in front of each text.

        Raises:
            ImportedModelError: the file is missing or damaged, or of a kind that is not read.
        """
        try:
            text = safe_files.read_text(_real(self.path / "tokenizer.json"), MOST_TOKENIZER)
            values = safe_files.parse_json(text, "tokenizer.json", halves=True)
        except FileNotFoundError:
            code = "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
            raise ImportedModelError(
                f"{self.path.name} cannot be imported",
                "it has no tokenizer.json",
                f"let transformers write it: {code}",
            ) from None
        except (OSError, ValueError) as error:
            raise ImportedModelError("tokenizer.json cannot be read", cause_of(error)) from None
        end = self._end_of_text(values)
        begin = _first_id(values)
        try:
            tokenizer = ForeignTokenizer(values, self.n_vocab, end, end if begin is None else begin)
        except CorpusError as error:
            raise ImportedModelError(error.what, error.why, error.remedy) from None
        return tokenizer, begin is not None

    def _end_of_text(self, values: Any) -> int:
        """The id that ends a text, from the settings or the name in the tokenizer's."""
        settings = [self.config]
        for name in ("generation_config.json", "tokenizer_config.json"):
            if (self.path / name).exists():
                settings.append(self._json(name))
        for one in settings:
            id = one.get("eos_token_id")
            id = id[0] if isinstance(id, list) and id else id
            if type(id) is int:
                return id
        written: Any = settings[-1].get("eos_token")
        text = written.get("content") if isinstance(written, dict) else written
        for token in values.get("added_tokens", []) if isinstance(values, dict) else []:
            if isinstance(token, dict) and token.get("content") == text:
                id = token.get("id")
                if type(id) is int:
                    return id
        raise ImportedModelError(
            "this model cannot be imported",
            "no token ends a text: eos_token_id is missing",
            "set eos_token_id in config.json",
        )

    def weights(self) -> dict[str, Tensor]:
        """Our weights, in fp32.

        Raises:
            ImportedModelError: a tensor is missing, unknown, of another shape or type, not
                finite, or there is too little memory.
        """
        expected = foreign_models.expected_shapes(self.name, self.model, self.n_vocab)
        files = self._files()
        where = self._checked(files, expected)
        _check_memory(expected)
        theirs: dict[str, Tensor] = {}
        try:
            for path, names in where.items():
                with safe_open(path, "pt") as file:
                    for name, stored in names.items():
                        theirs[name] = file.get_tensor(stored)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path.name, error) from None
        for name, value in theirs.items():
            if not bool(torch.isfinite(value).all()):
                raise ImportedModelError("the weights cannot be used", f"{name} is not finite")
        for name, shape in expected.items():
            # The classes have biases here and not there, ours everywhere or nowhere.
            if name not in theirs:
                theirs[name] = torch.zeros(shape)
        return foreign_models.ours(self.name, self.model, theirs)

    def _files(self) -> list[Path]:
        if (self.path / WEIGHTS).exists() or not (self.path / INDEX).exists():
            names = {WEIGHTS}
        else:
            table = self._json(INDEX).get("weight_map")
            names = set(table.values()) if isinstance(table, dict) else set()
            if not names or not all(
                isinstance(one, str) and one.endswith(".safetensors") and Path(one).name == one
                for one in names
            ):
                raise ImportedModelError(f"{INDEX} cannot be used", "it names no files of weights")
        for name in names:
            if not (self.path / name).exists():
                raise _missing(self.path, name)
        try:
            files = [_real(self.path / name) for name in sorted(names)]
        except OSError as error:
            raise ImportedModelError("the weights cannot be read", cause_of(error)) from None
        for file in files:
            if not safe_files.is_file(file):
                raise ImportedModelError("the weights cannot be read", f"{file.name} is not a file")
        return files

    def _checked(
        self, files: list[Path], expected: Mapping[str, torch.Size]
    ) -> dict[Path, dict[str, str]]:
        """Which tensors to read from which file: by the name of the class, as stored."""
        where: dict[Path, dict[str, str]] = {}
        seen: set[str] = set()
        for path in files:
            try:
                with safe_open(path, "pt") as file:
                    for stored in file.keys():  # noqa: SIM118 - it is not a mapping
                        part = file.get_slice(stored)
                        name = self._name(stored, expected)
                        if name is None:
                            continue
                        _check(name, part.get_shape(), str(part.get_dtype()), expected)
                        seen.add(name)
                        where.setdefault(path, {})[name] = stored
            except (SafetensorError, OSError, ValueError) as error:
                raise _damaged(path.name, error) from None
        missing = [name for name in expected if name not in seen and not self._may_lack(name)]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ImportedModelError(
                "the weights are incomplete",
                f"{missing[0]}{more} missing",
                "download the model again",
            )
        return where

    def _name(self, stored: str, expected: Mapping[str, torch.Size]) -> str | None:
        name = foreign_models.plain_name(self.name, stored)
        if name is None or (name == "lm_head.weight" and self.model.tie_weights):
            return None
        if name not in expected:
            raise ImportedModelError(
                "the weights belong to another model",
                f"{self.name} has no {stored}",
                "choose a model whose config.json fits its weights",
            )
        return name

    def _may_lack(self, name: str) -> bool:
        if not name.endswith(".bias") or self.name not in ("Llama", "Arcee"):
            return False
        part = "mlp_bias" if ".mlp." in name else "attention_bias"
        return not self.config.get(part, False)


def _check(name: str, shape: list[int], kind: str, expected: Mapping[str, torch.Size]) -> None:
    if tuple(shape) != tuple(expected[name]):
        raise ImportedModelError(
            "the weights do not fit config.json",
            f"{name} is {tuple(shape)}, not {tuple(expected[name])}",
            "download the model again",
        )
    if kind not in _FLOATS:
        raise ImportedModelError(
            "the weights cannot be used",
            f"{name} is stored as {kind}",
            "choose the original, with weights in fp32, fp16 or bf16",
        )


def _check_memory(expected: Mapping[str, torch.Size]) -> None:
    needed = _COPIES * 4 * sum(shape.numel() for shape in expected.values())
    free = available_bytes(torch.device("cpu"))
    if free is not None and needed > free:
        raise ImportedModelError(
            "the model does not fit into memory",
            f"importing it takes {size(needed)}, and {size(free)} are free",
            "close other programs, or choose a smaller model",
        )


def _real(path: Path) -> Path:
    """The file at `path`; the hub's cache keeps links to it."""
    return path.resolve(strict=True)


def _first_id(values: Any) -> int | None:
    """The id that the file puts in front of each text, if it does."""
    step = values.get("post_processor") if isinstance(values, dict) else None
    for one in _steps(step):
        try:
            first = one["single"][0]["SpecialToken"]["id"]
            id = one["special_tokens"][first]["ids"][0]
        except (LookupError, TypeError):
            continue
        if type(id) is int:
            return id
    return None


def _steps(value: Any) -> list[Any]:
    if not isinstance(value, dict):
        return []
    inner = value.get("processors")
    return inner if isinstance(inner, list) else [value]


def _missing(path: Path, name: str) -> ImportedModelError:
    return ImportedModelError(
        f"{path.name} cannot be imported",
        f"it has no {name}",
        "give the directory of a model saved by transformers",
    )


def _damaged(name: str, error: Exception) -> ImportedModelError:
    return ImportedModelError(f"{name} cannot be read", cause_of(error), "download the model again")


def _gguf(path: Path) -> ImportedModelError:
    return ImportedModelError(
        f"{path.name} cannot be imported",
        "GGUF files hold weights for llama.cpp, mostly rounded, which slm-tui does not read",
        "import the model that it was made from: a directory with safetensors",
    )
