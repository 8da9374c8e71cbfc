"""The contents of a dataset: rows opened by `datasets`, or files that we read ourselves.

Runs in the reader process only.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from slm_tui.corpus.sources import file_kinds, tables
from slm_tui.corpus.sources.tables import File

_BUILDERS = {"csv": "csv", "json": "jsonl", "parquet": "parquet"}
# Metadata about a dataset that does not affect how its files are read.
_DESCRIBES = {"name", "version", "data_dir", "data_files", "description"}
_ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar")
_NOT_CONTENT = (".json", ".lock", ".incomplete")


@dataclass(frozen=True)
class FileShards:
    """Splits by name, each in some files."""

    splits: dict[str, list[File]]


@dataclass(frozen=True)
class RowShards:
    """Splits by name, each as opened by `datasets`."""

    splits: dict[str, Any]


def opened(request: dict[str, Any]) -> FileShards | RowShards:
    """The splits of a dataset that is local, on the hub, or at a URL.

    Raises:
        Exception: anything that `datasets` raises; see `reader_errors`.
    """
    name = request["dataset"]
    if "://" not in name and Path(name).is_file():
        # Without `datasets`, which takes a second to import.
        return FileShards({"train": [tables.local(Path(name), file_kinds.layout_of(name))]})
    import datasets

    if "://" in name:
        return FileShards({"train": [_single(datasets, request)]})
    if request["local"] and _is_saved(Path(name)):
        dataset = datasets.load_from_disk(name)
        # A dataset without splits is all training text.
        return RowShards(dict(dataset) if isinstance(dataset, dict) else {"train": dataset})
    builder = _builder(datasets, request)
    files = _own_files(builder)
    # `datasets` silently loses some cells; a stream ends where columns differ.
    if files and (request["local"] or request["streaming"] or files[0] == "csv"):
        return _of_files(datasets, files, request)
    try:
        return RowShards(dict(_loaded(datasets, request)))
    except datasets.exceptions.DatasetGenerationError:
        if not files:
            raise
        return _of_files(datasets, files, request)


def _options(request: dict[str, Any]) -> dict[str, Any]:
    options = {"revision": request["revision"] or None}
    return options | ({"cache_dir": request["cache_dir"]} if request["cache_dir"] else {})


def _builder(datasets: Any, request: dict[str, Any]) -> Any:
    config, options = request["config"] or None, _options(request)
    try:
        return datasets.load_dataset_builder(request["dataset"], config, **options)
    except Exception:
        stored = None if request["online"] else _cached_snapshot(request)
        if stored is None:
            raise
        request["dataset"], request["local"] = str(stored), True
        return datasets.load_dataset_builder(str(stored), config, **{**options, "revision": None})


def _cached_snapshot(request: dict[str, Any]) -> Path | None:
    """The cached files of a dataset on the hub, the newest version."""
    import huggingface_hub

    try:
        repositories = huggingface_hub.scan_cache_dir().repos
    except (huggingface_hub.errors.CacheNotFound, OSError, ValueError):
        return None
    requested = request["revision"]
    snapshots = [
        revision
        for one in repositories
        if (one.repo_type, one.repo_id) == ("dataset", request["dataset"])
        for revision in one.revisions
        if not requested or requested in revision.refs or revision.commit_hash.startswith(requested)
    ]
    newest = max(snapshots, key=lambda one: one.last_modified, default=None)
    return Path(newest.snapshot_path) if newest is not None else None


def _loaded(datasets: Any, request: dict[str, Any]) -> Any:
    options = {**_options(request), "streaming": request["streaming"]}
    return datasets.load_dataset(request["dataset"], request["config"] or None, **options)


def _own_files(builder: Any) -> tuple[str, dict[str, list[str]], str] | None:
    """The format, the files by split, and the delimiter; `None` if we do not read them."""
    kinds = [one.__module__.rpartition(".")[2] for one in type(builder).__mro__]
    layout = next((_BUILDERS[kind] for kind in kinds if kind in _BUILDERS), None)
    config = builder.config
    if layout is None or not config.data_files:
        return None
    usual = type(config)()
    changed = {
        name
        for name in type(config).__dataclass_fields__
        if name not in _DESCRIBES and getattr(config, name) != getattr(usual, name)
    }
    splits = {str(split): list(map(str, files)) for split, files in config.data_files.items()}
    packed = any(one.lower().endswith(_ARCHIVES) for files in splits.values() for one in files)
    if packed or changed - {"sep", "delimiter"}:
        return None
    delimiter = str(getattr(config, "delimiter", None) or getattr(config, "sep", ""))
    return layout, splits, delimiter if changed else ""


def _of_files(
    datasets: Any, files: tuple[str, dict[str, list[str]], str], request: dict[str, Any]
) -> FileShards:
    layout, splits, delimiter = files
    if delimiter:
        request["delimiter"] = delimiter
    requested = set(request["splits"].values())
    result = {}
    for split, names in splits.items():
        # Do not download splits that were not requested.
        here = split in requested
        result[split] = [_file(datasets, one, layout, request) for one in names] if here else []
    return FileShards(result)


def _single(datasets: Any, request: dict[str, Any]) -> File:
    """The file at a URL; anything but a table is one document."""
    name = request["dataset"]
    layout = file_kinds.layout_of(name.split("?")[0].split("#")[0])
    if not request["online"]:
        stored = _stored(datasets, name, request["cache_dir"])
        if stored is not None:
            return File(name, layout, lambda: stored.open("rb"), stored.stat().st_size)
    return _file(datasets, name, layout, request)


def _file(datasets: Any, name: str, layout: str, request: dict[str, Any]) -> File:
    """A file that is local, is downloaded now, or is streamed."""
    if "://" not in name:
        return tables.local(Path(name), layout)
    shown = name.partition("@")[2].partition("/")[2] if name.startswith("hf://") else name
    # Plain text is always needed in full.
    if request["streaming"] and layout != "text":
        return File(shown, layout, lambda: _streamed(datasets, name))
    cache = Path(request["cache_dir"] or datasets.config.HF_DATASETS_CACHE) / "downloads"
    manager = datasets.DownloadManager(
        download_config=datasets.DownloadConfig(cache_dir=str(cache))
    )
    path = Path(manager.download(name))
    return File(shown, layout, lambda: path.open("rb"), path.stat().st_size)


def _streamed(datasets: Any, name: str) -> IO[bytes]:
    return cast("IO[bytes]", datasets.utils.file_utils.xopen(name, "rb"))


def _stored(datasets: Any, address: str, cache_dir: str) -> Path | None:
    """The file in the cache of `datasets` that was downloaded from `address`."""
    downloads = Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "downloads"
    # Named after the URL and, if the server gave one, the version.
    name = datasets.utils.file_utils.hash_url_to_filename(address)
    files = [one for one in downloads.glob(f"{name}*") if one.suffix not in _NOT_CONTENT]
    return max(files, key=lambda one: one.stat().st_mtime) if files else None


def _is_saved(path: Path) -> bool:
    """Whether it was written by `save_to_disk`, which `load_dataset` cannot open."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
