"""Finds a model: a directory on this machine, or a download from the Hugging Face hub."""

import os
import re
from pathlib import Path
from typing import Any

from slm_tui.corpus.sources.hub import hub_home
from slm_tui.errors import ImportedModelError, cause_of
from slm_tui.export.written import Report
from slm_tui.formatting import size

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
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
        files = _wanted(
            huggingface_hub.HfApi().model_info(name, files_metadata=True, timeout=_SECONDS)
        )
        folder = ""
        for number, (file, length) in enumerate(files, 1):
            extent = f", {size(length)}" if length else ""
            report(f"downloading {file} ({number} of {len(files)}{extent})")
            folder = huggingface_hub.hf_hub_download(name, file, cache_dir=_cache())
        return Path(folder).parent
    except HfHubHTTPError as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "access denied"
        raise ImportedModelError(
            f"{name} cannot be downloaded",
            reason,
            "check the name, and log in with `hf auth login` if it is private",
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        cached = _cached(name)
        if cached is not None:
            return cached
        raise ImportedModelError(
            f"{name} is not a directory here, and the Hugging Face hub cannot be reached",
            cause_of(error).splitlines()[0],
            "give the path of a directory, or try again with a network",
        ) from None


def _wanted(info: Any) -> list[tuple[str, int]]:
    """The files to download and their sizes in bytes; weights as safetensors only."""
    sizes = {one.rfilename: int(one.size or 0) for one in info.siblings or ()}
    weights = [name for name in sizes if "/" not in name and name.endswith(".safetensors")]
    if not weights:
        raise ImportedModelError(
            f"{info.id} cannot be imported",
            "it has no safetensors; pickle files can run code when they are opened",
            "choose a model with safetensors",
        )
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    index = [name for name in sizes if name == "model.safetensors.index.json" and len(weights) > 1]
    return [(name, sizes[name]) for name in (*_FILES, *index, *weights) if name in sizes]


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
