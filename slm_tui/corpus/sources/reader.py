"""Rows of a dataset as documents: opening it, finding its text column, writing to disk.

Runs in the reader process only.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slm_tui.config.data import Limit
from slm_tui.corpus.sources import json_lines
from slm_tui.corpus.sources.contract import LeftOut
from slm_tui.corpus.staging import CHARACTERS_PER_TOKEN, Piece, Staging, save_spans
from slm_tui.errors import CorpusError

Tell = Callable[[str, float, float | None, str], None]

# The names that published datasets give their text, the most telling first.
USUAL_COLUMNS = (
    "text",
    "content",
    "story",
    "document",
    "passage",
    "sentence",
    "paragraph",
    "article",
    "body",
)
USUAL_PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("input", "output"),
    ("question", "answer"),
    ("context", "response"),
    ("human", "assistant"),
)
_ROWS = 1000
_BUILDERS = {"jsonl": "json", "csv": "csv", "parquet": "parquet"}
# A text may well be the word None, or NA.
_CSV = {"keep_default_na": False}
_BY_SUFFIX = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
_NOT_CONTENT = (".json", ".lock", ".incomplete")
# Over the network text is not fetched by the gigabyte for a limit that it may never need.
_CHARACTERS_PER_TOKEN_STREAMED = 16


def read(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Write the documents of every split that is asked for; say what was found.

    Raises:
        CorpusError: a split or a column is not there.
        Exception: whatever `datasets` raises; see `reader_errors`.
    """
    try:
        return _read(request, tell)
    except (CorpusError, OSError):
        raise
    except Exception:
        if request.get("table") != "jsonl":
            raise
        # Rows may differ in columns that nobody asked for: `datasets` then gives up, we need not.
        path, directory = Path(request["dataset"]), Path(request["directory"])
        columns = _columns_of_lines(path, request)
        if columns is None or json_lines.explained(path) is not None:
            raise
        return _read({**request, "dataset": str(json_lines.only(path, columns, directory))}, tell)


def _columns_of_lines(path: Path, request: dict[str, Any]) -> list[str] | None:
    """The columns with the text, from the first line of a file; `None` if they are not told."""
    first = json_lines.first_row(path)
    if first is None:
        return None
    kinds = {name: "string" if isinstance(value, str) else "" for name, value in first.items()}
    return _chosen(kinds, request)


def _read(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    directory, left_out = Path(request["directory"]), LeftOut()
    opened = _opened(request)
    for part, split in request["splits"].items():
        if split not in opened:
            raise CorpusError(
                f"{_name(request)} has no split {split!r}",
                f"it has {', '.join(map(str, opened))}",
                f"set data.{_setting(part)} to one of them",
            )
    for part, split in request["splits"].items():
        rows, limit = _first_rows(opened[split], request)
        with Staging(directory / f"{part}.text", limit, _per_token(request)) as staging:
            _write(rows, request, staging, left_out, tell)
            left_out.blank += staging.blank
            save_spans(staging.finish(), directory / f"{part}.npz")
    left_out.splits = [str(one) for one in opened if one not in request["splits"].values()]
    return {"parts": list(request["splits"]), "left_out": asdict(left_out)}


def _per_token(request: dict[str, Any]) -> int:
    far = request["streaming"] and not request["local"]
    return _CHARACTERS_PER_TOKEN_STREAMED if far else CHARACTERS_PER_TOKEN


def _setting(part: str) -> str:
    return {"train": "train_split", "val": "validation_split", "test": "test_split"}[part]


def _name(request: dict[str, Any]) -> str:
    return str(request["dataset"])


def _first_rows(rows: Any, request: dict[str, Any]) -> tuple[Any, Limit]:
    """Take a fraction of stored rows before reading them: the rest need not be read at all."""
    limit = Limit(**request["limit"])
    count = getattr(rows, "num_rows", None)
    if limit.fraction is None or count is None or request.get("heading"):
        return rows, limit
    return rows.select(range(max(1, round(count * limit.fraction)))), Limit()


def _opened(request: dict[str, Any]) -> dict[str, Any]:
    """The splits by name, opened but not read."""
    import datasets

    streaming = request["streaming"]
    if "table" in request:
        return dict(_table(datasets, request))
    dataset, options = request["dataset"], {"streaming": streaming}
    if request["cache_dir"]:
        options["cache_dir"] = request["cache_dir"]
    if "://" in dataset or Path(dataset).is_file():
        return dict(_file(datasets, request, options))
    if request["local"] and _is_saved(Path(dataset)):
        return _loaded(datasets.load_from_disk(dataset))
    name, revision = request["config"] or None, request["revision"] or None
    return dict(datasets.load_dataset(dataset, name, revision=revision, **options))


def _file(datasets: Any, request: dict[str, Any], options: dict[str, Any]) -> Any:
    """One file, here or at an address; text is one document."""
    dataset = request["dataset"]
    builder = _BY_SUFFIX.get(Path(dataset.split("?")[0]).suffix.lower(), "text")
    if builder == "text":
        # Text cannot be streamed from the web, and there is no need: it is one piece.
        options = {**options, "sample_by": "document", "streaming": False}
    elif builder == "csv":
        options = {**options, **_CSV}
    if not request["online"]:
        dataset = _stored(datasets, dataset, request["cache_dir"]) or dataset
    return datasets.load_dataset(builder, data_files={"train": dataset}, **options)


def _stored(datasets: Any, address: str, cache_dir: str) -> str | None:
    """Where `datasets` has stored what it once fetched from `address`."""
    downloads = Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "downloads"
    # Named after the address and, where the server gave one, the version.
    name = datasets.utils.file_utils.hash_url_to_filename(address)
    found = [one for one in downloads.glob(f"{name}*") if one.suffix not in _NOT_CONTENT]
    return str(max(found, key=lambda one: one.stat().st_mtime)) if found else None


def _table(datasets: Any, request: dict[str, Any]) -> Any:
    """A file of rows, streamed: nothing of it is stored a second time."""
    options: dict[str, Any] = {}
    if request["table"] != "parquet":
        options["encoding_errors"] = request["encoding_errors"]
    if request["table"] == "csv":
        options |= _CSV
    if request["dataset"].lower().endswith(".tsv"):
        options["sep"] = "\t"
    path = Path(request["dataset"])
    if request["table"] == "jsonl" and request["encoding_errors"] == "replace":
        path = json_lines.repaired(path, Path(request["directory"]))
    files = {"train": str(path)}
    return datasets.load_dataset(
        _BUILDERS[request["table"]], data_files=files, streaming=True, **options
    )


def _is_saved(path: Path) -> bool:
    """Whether it is what `save_to_disk` wrote, which `load_dataset` does not open."""
    return (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()


def _loaded(found: Any) -> dict[str, Any]:
    """A saved dataset without splits is all training text."""
    return dict(found) if isinstance(found, dict) else {"train": found}


def _write(
    rows: Any, request: dict[str, Any], staging: Staging, left_out: LeftOut, tell: Tell
) -> None:
    columns = _columns(rows, request)
    rows = rows.select_columns(columns)
    wanted = _wanted(rows, request)
    documents = _documents(
        _texts(rows, columns, request["column_separator"], left_out),
        request.get("heading", ""),
    )
    shortest, longest = request.get("minimum_length", 0), request.get("maximum_length")
    size = Path(request["dataset"]).stat().st_size if "table" in request else None
    parquet = request.get("table") == "parquet"
    for number, text in enumerate(documents):
        if number % 256 == 0:
            if size is not None and not parquet:
                tell("reading", min(staging.size, size), size, "bytes")
            else:
                tell("reading", staging.documents, wanted, "documents")
        if len(text) < shortest:
            left_out.short += 1
        elif longest is not None and len(text) > longest:
            left_out.long += 1
        elif not staging.add(Piece(text.strip("\n"))):
            return


def _wanted(rows: Any, request: dict[str, Any]) -> int | None:
    """How many rows are read at most, where their number is known before."""
    most: int | None = request["limit"].get("documents")
    count: int | None = getattr(rows, "num_rows", None)
    if count is None:
        return most
    return min(count, most) if most is not None and not request.get("heading") else count


def _texts(rows: Any, columns: list[str], separator: str, left_out: LeftOut) -> Iterator[str]:
    """The text of each row; rows without any are counted."""
    for batch in rows.iter(batch_size=_ROWS):
        for values in zip(*(batch[column] for column in columns), strict=True):
            present = [value for value in values if value is not None]
            if not present:
                left_out.null += 1
                continue
            if not all(isinstance(value, str) for value in present):
                odd = next(value for value in present if not isinstance(value, str))
                raise _not_text(columns, odd)
            yield separator.join(present)


def _documents(texts: Iterator[str], heading: str) -> Iterator[str]:
    """The rows, or what they make from one heading to the next."""
    if not heading:
        yield from texts
        return
    begins, lines = re.compile(heading), list[str]()
    for text in texts:
        if lines and begins.match(text):
            yield "".join(lines)
            lines = []
        lines.append(text if text.endswith("\n") else text + "\n")
    if lines:
        yield "".join(lines)


def _columns(rows: Any, request: dict[str, Any]) -> list[str]:
    """The columns that the text is in.

    Raises:
        CorpusError: the ones that were named are not there, or none looks like text.
    """
    return _chosen(_column_names(rows), request)


def _chosen(there: dict[str, str], request: dict[str, Any]) -> list[str]:
    named = [one for one in (request["text_column"], request["second_column"]) if one]
    for one in named:
        if one not in there:
            raise CorpusError(
                f"{_name(request)} has no column {one!r}",
                f"it has {_listed(there)}",
                "set data.text_column to one of them",
            )
    if request["text_column"]:
        return named
    found = [one for one in USUAL_COLUMNS if one in there][:1]
    pair = next((pair for pair in USUAL_PAIRS if set(pair) <= set(there)), None)
    strings = [name for name, kind in there.items() if kind in ("string", "large_string")]
    found = found or list(pair or ()) or (strings if len(strings) == 1 else [])
    if not there:
        raise CorpusError(f"{_name(request)} has no text", "it has no rows", "name another")
    if not found:
        raise CorpusError(
            f"{_name(request)} has no text column",
            f"its columns are {_listed(there)}, and none has a usual name",
            "set data.text_column to the one with the text",
        )
    return found + [one for one in named if one not in found]


def _column_names(rows: Any) -> dict[str, str]:
    """Name and type of each column; a stream may have to be looked into for them."""
    features = getattr(rows, "features", None)
    if features is not None:
        return {name: str(getattr(kind, "dtype", kind)) for name, kind in features.items()}
    first = next(iter(rows), None) or {}
    return {name: "string" if isinstance(value, str) else "" for name, value in first.items()}


def _listed(names: dict[str, str]) -> str:
    shown = ", ".join(list(names)[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "none"


def _not_text(columns: list[str], value: object) -> CorpusError:
    return CorpusError(
        f"the column {' or '.join(columns)} is not text",
        f"it holds {type(value).__name__} values",
        "set data.text_column to one with text",
    )


def report_bars(tell: Tell) -> None:
    """Let every progress bar of the libraries tell how far it is instead of drawing itself."""
    from tqdm.std import tqdm

    downloads: dict[int, tuple[float, float]] = {}

    def display(bar: Any, *_: Any, **__: Any) -> bool:
        if bar.unit == "B":
            downloads[id(bar)] = (bar.n, bar.total or 0.0)
            done, total = (sum(column) for column in zip(*downloads.values(), strict=True))
            tell("downloading", done, total or None, "bytes")
        elif bar.total or bar.n:
            unit = str(bar.unit).strip()
            stage = "unpacking" if unit == "examples" else "opening the dataset"
            tell(stage, bar.n, bar.total, "rows" if unit == "examples" else "files")
        return True

    tqdm.display = display
