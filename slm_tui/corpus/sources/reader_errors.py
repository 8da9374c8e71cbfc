"""Translates errors of `datasets` into messages for users."""

import errno
import re
from typing import Any

from slm_tui.errors import CorpusError, SlmTuiError

_SAYS_NOTHING = ("An error occurred while generating",)
_WORKS_NOW = "data.kind=stories and data.kind=file work without a network"


def explained(error: Exception, request: dict[str, Any], *, online: bool) -> SlmTuiError | OSError:
    """An error to show for `error`; an `OSError` if the disk is the cause."""
    chain = _chain(error)
    for one in chain:
        if isinstance(one, SlmTuiError):
            return one
        if isinstance(one, OSError) and one.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return OSError(one.errno, one.strerror)
    if "table" in request:
        return _of_a_table(chain, request)
    if not online:
        return _offline(request)
    return _of_a_dataset(chain, request)


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    return chain


def _offline(request: dict[str, Any]) -> CorpusError:
    import datasets

    where = request["cache_dir"] or str(datasets.config.HF_DATASETS_CACHE)
    place = "it" if "://" in request["dataset"] else "the hub"
    return CorpusError(
        f"the dataset {request['dataset']} is not on this machine and {place} cannot be reached",
        f"it would be cached in {where}",
        _WORKS_NOW,
    )


def _of_a_table(chain: list[BaseException], request: dict[str, Any]) -> CorpusError:
    return CorpusError(
        f"{request['dataset']} cannot be read as {request['table']}",
        _useful_message(chain),
        "set data.format to the format of the file",
    )


def _of_a_dataset(chain: list[BaseException], request: dict[str, Any]) -> CorpusError:
    name = request["dataset"]
    what = f"the dataset {name} cannot be read"
    text = " ".join(str(one) for one in chain)
    configs = re.search(r"(?:available configs|Available): ?\[(.*?)\]", text, re.DOTALL)
    if configs:
        offered = configs.group(1).replace("'", "").replace("\n", " ")
        why = f"its configurations are {offered}"
        return CorpusError(what, why, "set data.config to one of them")
    kinds = {type(one).__name__ for one in chain}
    if kinds & {"GatedRepoError"}:
        return CorpusError(
            what,
            "access to it must be requested from its owner",
            "log in with `hf auth login`, or set HF_TOKEN",
        )
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return CorpusError(
            what,
            "the hub has no such dataset, or it is private",
            "check data.dataset, or log in with `hf auth login`",
        )
    if kinds & {"RevisionNotFoundError"}:
        return CorpusError(what, f"it has no revision {request['revision']}", "set data.revision")
    if "scripts are no longer supported" in text:
        return CorpusError(
            what, "it needs a loading script, which is not supported", "use a Parquet copy"
        )
    if kinds & {"ConnectionError", "ConnectError", "ReadTimeout", "ConnectTimeout", "ReadError"}:
        return CorpusError(what, "the connection was lost", "try again when the network is back")
    if kinds & {"EmptyDatasetError", "DataFilesNotFoundError"}:
        return CorpusError(
            what, "it has no data files", "use a directory with Parquet or JSONL files"
        )
    if "404" in text and "://" in name:
        return CorpusError(what, "there is nothing at that URL", "check data.dataset")
    return CorpusError(what, _useful_message(chain))


def _useful_message(chain: list[BaseException]) -> str:
    """The first line of the outermost error with a useful message."""
    lines = [_first_line(one) for one in chain]
    return next((one for one in lines if not one.startswith(_SAYS_NOTHING)), lines[-1])


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
