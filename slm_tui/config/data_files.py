"""Which files hold rows of a dataset, by their names."""

ROWS = (".parquet", ".arrow", ".jsonl", ".ndjson", ".csv", ".tsv")
_PACKED = ("", ".gz", ".bz2", ".xz", ".zst")
_ENDINGS = tuple(ending + packed for ending in ROWS for packed in _PACKED)


def is_rows(name: str) -> bool:
    """Whether a file has rows of a dataset."""
    return name.lower().endswith(_ENDINGS)
