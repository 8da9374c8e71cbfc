"""Finds a model: a directory on this machine, or a download from the Hugging Face hub."""

import io
import os
import re
from pathlib import Path
from typing import Any

from slm_tui.corpus.sources.hub import hub_home
from slm_tui.errors import ImportedModelError, SlmTuiError, cause_of
from slm_tui.export.written import Report
from slm_tui.formatting import size

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_ONE = "model.safetensors"
_SECONDS = 10.0


def local_path(spec: str) -> Path | None:
    """`spec` as a path: if it exists, or cannot be a name of the hub.

    Raises:
        ImportedModelError: it is a name of Ollama.
    """
    try:
        path = Path(spec).expanduser()
        if path.exists():
            return path
    except (OSError, ValueError, RuntimeError):
        path = Path(spec)
    name, _, tag = spec.partition(":")
    if tag and _NAME.fullmatch(name) and re.fullmatch(r"[\w.-]+", tag):
        raise ImportedModelError(
            f"{spec} cannot be imported",
            "it is a name of Ollama, whose models are GGUF files, mostly with rounded weights",
            "give the name of the original on the Hugging Face hub: OWNER/NAME",
        )
    looks_like_path = spec.startswith((".", "/", "~")) or spec.endswith(".gguf")
    return path if looks_like_path or not _NAME.fullmatch(spec) else None


def download(name: str, report: Report) -> Path:
    """Download the settings, the tokenizer and the safetensors of a model; return their directory.

    Files that were downloaded before are reused, also without a network.

    Raises:
        ImportedModelError: there is no such model, no network, or access is denied.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    report(f"looking for {name} on the hub")
    try:
        files = _wanted(huggingface_hub.HfApi().model_info(name, timeout=_SECONDS))
        folder = ""
        for file in files:
            report(f"downloading {file}")
            bar = _bar(file, report)
            folder = huggingface_hub.hf_hub_download(name, file, cache_dir=_cache(), tqdm_class=bar)
        return Path(folder).parent
    except SlmTuiError:
        raise
    except HfHubHTTPError as error:
        raise ImportedModelError(
            f"{name} cannot be downloaded",
            _reason(error),
            "check the name, and log in with `hf auth login` if it is private",
        ) from None
    except Exception as error:  # noqa: BLE001 - errors of its HTTP library have no common base
        cached = _cached(name)
        if cached is not None:
            return cached
        raise ImportedModelError(
            f"{name} is not a directory here, and the Hugging Face hub cannot be reached",
            cause_of(error).splitlines()[0],
            "give the path of a directory, or try again with a network",
        ) from None


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "its owner grants access on request, on its page of the hub"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or it is private"
    return (str(error).strip().splitlines() or ["access denied"])[0]


def _bar(file: str, report: Report) -> Any:
    """A progress bar for `huggingface_hub` that reports instead of drawing."""
    from tqdm.std import tqdm

    class Bar(tqdm):  # type: ignore[misc, unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            quiet = {"disable": False, "file": io.StringIO(), "leave": False}
            super().__init__(*arguments, **{**options, **quiet})

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            if self.total:
                report(f"downloading {file}: {size(self.n)} of {size(self.total)}")

    return Bar


def _wanted(info: Any) -> list[str]:
    """The files to download; weights as safetensors only."""
    names = {one.rfilename for one in info.siblings or ()}
    weights = sorted(one for one in names if "/" not in one and one.endswith(".safetensors"))
    if not weights:
        raise ImportedModelError(
            f"{info.id} cannot be imported",
            "it has no safetensors; pickle files can run code when they are opened",
            "choose a model with safetensors",
        )
    if _ONE in weights:
        weights = [_ONE]
    return [one for one in (*_FILES, f"{_ONE}.index.json", *weights) if one in names]


def _cache() -> Path:
    """Where downloads are kept: the usual place, or below `SLM_TUI_HOME`."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(chosen) if chosen else hub_home() / "hub"


def _cached(name: str) -> Path | None:
    import huggingface_hub

    try:
        patterns = [*_FILES, "*.safetensors", "*.safetensors.index.json"]
        path = huggingface_hub.snapshot_download(
            name, allow_patterns=patterns, local_files_only=True, cache_dir=_cache()
        )
    except (OSError, ValueError):
        return None
    return Path(path)
