"""A directory of text files, read recursively in the order of their names."""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_tui.config.data import DirectoryData
from slm_tui.config.sources.split_files import PARTS as SPLIT_NAMES
from slm_tui.config.sources.split_files import SplitFiles, sorted_by_split
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import file_kinds, text_file
from slm_tui.corpus.sources.contract import (
    BOOKS,
    READING,
    SPLIT_FILES,
    TABLES,
    LeftOut,
    StagedDocuments,
    settings,
)
from slm_tui.corpus.sources.text_file import NotTextError, TextFile
from slm_tui.corpus.staging import DocumentSpans, StagingWriter
from slm_tui.errors import CorpusError, cause_of, remedy_for

_FILES_NAMED = 3
# Errors for a link that is broken or points to itself.
_LEADS_NOWHERE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)


@dataclass(frozen=True)
class DirectoryFile:
    """A file by its path relative to the directory, and its size in bytes."""

    name: str
    path: Path
    size: int


def fingerprint(data: DirectoryData, *, reading: int = READING) -> dict[str, object]:
    """Names and contents of the files, and how they are read.

    An older `reading` gives the values of that version.

    Raises:
        CorpusError: the directory or matching files do not exist, or one cannot be read and
            `on_encoding_error` does not allow skipping it.
    """
    hashes = {}
    selected = files(data)[0]
    for file in selected:
        try:
            hashes[file.name] = text_file.digest(file.path)
        except CorpusError:
            if data.on_encoding_error != "skip":
                raise
            hashes[file.name] = "unreadable"
    values = settings(data, exclude={"path", "split_files"})
    if reading >= TABLES and data.on_encoding_error == "replace":
        values["reading"] = TABLES
    if reading >= BOOKS and any(text_file.body_of(one.path, data.encoding) for one in selected):
        values["reading"] = BOOKS
    if splits := _own_splits(data, selected, reading):
        values["reading"], values["splits"] = SPLIT_FILES, sorted(splits.parts)
    return {**values, "files": hashes}


def _own_splits(
    data: DirectoryData, selected: list[DirectoryFile], reading: int
) -> SplitFiles | None:
    """The files by split, if their names decide."""
    if reading < SPLIT_FILES or data.split_files == "none":
        return None
    files = sorted_by_split(one.name for one in selected)
    return files if files.has_splits else None


def files(data: DirectoryData) -> tuple[list[DirectoryFile], list[str]]:
    """The files that match the preset, sorted by name, and the unreadable directories.

    Each directory is entered once, under the name that comes first.

    Raises:
        CorpusError: the directory or matching files do not exist, or a directory is unreadable
            and `on_encoding_error` does not allow skipping it.
    """
    root = text_file.resolved(data.path, "directory")
    _check_root(root)
    matches = _matcher(data)
    everything, closed = _walk(root)
    matching = [one for one in everything if matches(one.name)]
    if closed and data.on_encoding_error != "skip":
        raise CorpusError(
            f"{root / closed[0]} cannot be read",
            os.strerror(errno.EACCES),
            "change its permissions, or set data.on_encoding_error to skip",
        )
    if not matching:
        raise _nothing_found(root, data.pattern, everything)
    return sorted(matching, key=lambda one: one.name), closed


def _nothing_found(root: Path, pattern: str, files: list[DirectoryFile]) -> CorpusError:
    endings = Counter("".join(Path(one.name).suffixes[-2:]) for one in files)
    packed = [one for one in endings if file_kinds.without_suffix(one) != one]
    usual = max(packed or endings, key=lambda one: endings[one], default="")
    try_it = f", for example to **/*{usual}" if usual and usual not in pattern else ""
    return CorpusError(
        f"{root} has no files to read",
        f"none matches {pattern or '*.txt or *.md'}",
        f"set data.pattern{try_it}",
    )


def _walk(root: Path) -> tuple[list[DirectoryFile], list[str]]:
    """All regular files, and the names of unreadable directories."""
    files: list[DirectoryFile] = []
    closed: list[str] = []
    entered: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        directory = waiting.pop()
        try:
            status = directory.stat()
            entries = sorted(os.scandir(directory), key=lambda one: one.name)
        except OSError:
            closed.append(directory.relative_to(root).as_posix())
            continue
        # Links may form a cycle.
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        inside = []
        for entry in entries:
            path, name = Path(entry.path), Path(entry.path).relative_to(root).as_posix()
            try:
                status = entry.stat()
            except OSError as error:
                if error.errno not in _LEADS_NOWHERE:
                    closed.append(name)
                continue
            if stat.S_ISDIR(status.st_mode):
                inside.append(path)
            elif stat.S_ISREG(status.st_mode):
                files.append(DirectoryFile(name, path, status.st_size))
        waiting += reversed(inside)
    return files, closed


def _check_root(root: Path) -> None:
    try:
        is_directory = stat.S_ISDIR(root.stat().st_mode)
        os.listdir(root) if is_directory else None
    except (OSError, ValueError) as error:
        why = cause_of(error)
        name = root if len(str(root)) < 200 else f"{str(root)[:200]}…"
        remedy = remedy_for(error, "set data.path to a directory")
        raise CorpusError(f"the directory {name} cannot be read", why, remedy) from None
    if not is_directory:
        raise CorpusError(
            f"the directory {root} cannot be read", "it is a file", "set data.path to a directory"
        )


def _matcher(data: DirectoryData) -> Callable[[str], Any]:
    try:
        return data.matcher()
    except (re.error, ValueError) as error:
        raise CorpusError(
            f"the pattern {data.pattern!r} is not valid", str(error), "try **/*.txt"
        ) from None


def stage(
    data: DirectoryData, directory: Path, meter: Meter, *, reading: int = READING
) -> StagedDocuments:
    """Write the documents of all files.

    Raises:
        CorpusError: a file is not UTF-8 text or cannot be read, and must not be skipped.
    """
    selected, closed = files(data)
    wrong = LeftOut()
    for name in closed:
        wrong.skip(name, os.strerror(errno.EACCES))
    splits = _own_splits(data, selected, reading)
    note = sorted_by_split(one.name for one in selected).note
    if note and reading >= SPLIT_FILES and data.split_files == "auto":
        wrong.note(note)
    by_name = {one.name: one for one in selected}
    parts = {"train": selected}
    if splits is not None:
        parts = {part: [by_name[name] for name in names] for part, names in splits.parts.items()}
    staging = _Staging(data, reading, wrong, meter, sum(map(_size_of, parts.values())))
    staged = {
        part: staging.add(parts[part], directory, part) for part in SPLIT_NAMES if part in parts
    }
    if wrong.skipped and data.on_encoding_error != "skip":
        raise _refused(wrong, staging.errors, len(selected))
    for part in [one for one in staged if one != "train" and not len(staged[one])]:
        wrong.note(f"{parts[part][0].name} has no text: no {SPLIT_NAMES[part]} split of its own")
        del staged[part]
    if not len(staged["train"]):
        names = "all of its files are" if splits is None else f"{parts['train'][0].name} is"
        raise CorpusError(f"{data.path} has no text", f"{names} empty", "choose another")
    return StagedDocuments(staged, wrong)


def _size_of(files: list[DirectoryFile]) -> int:
    return sum(one.size for one in files)


class _Staging:
    """Writes files to staged documents, one part of the corpus after the other."""

    def __init__(
        self, data: DirectoryData, reading: int, wrong: LeftOut, meter: Meter, total: int
    ) -> None:
        self._data, self._reading, self._wrong = data, reading, wrong
        self._meter, self._total, self._done = meter, total, 0
        self.errors = list[CorpusError]()

    def add(self, files: list[DirectoryFile], directory: Path, part: str) -> DocumentSpans:
        """The documents of `files`, as many as the limit allows."""
        wrong = self._wrong
        with StagingWriter(directory / f"{part}.text", self._data.limit) as staging:
            for one in files:
                before = staging.mark()
                try:
                    file = _text_file(one, self._data, self._reading)
                    self._read(file, staging)
                    wrong.read(file, one.name)
                except CorpusError as error:
                    staging.drop_since(before)
                    wrong.skip(one.name, error.why or error.what)
                    self.errors.append(error)
                self._done += one.size
                if staging.is_full:
                    break
            wrong.blank += staging.blank
            return staging.finish()

    def _read(self, file: TextFile, staging: StagingWriter) -> None:
        pieces = file.documents(
            self._data.separator, meter=self._meter, done=self._done, total=self._total
        )
        for piece in pieces:
            if not staging.add(piece):
                break


def _text_file(one: DirectoryFile, data: DirectoryData, reading: int) -> TextFile:
    text_file.signature(one.path)
    # A user who selects files by a pattern may want HTML with its tags.
    return TextFile(
        one.path,
        encoding=data.encoding,
        replace=data.on_encoding_error == "replace",
        tags=bool(data.pattern),
        body=text_file.body_of(one.path, data.encoding) if reading >= BOOKS else None,
    )


def _refused(wrong: LeftOut, errors: list[CorpusError], files: int) -> CorpusError:
    named = ", ".join(f"{name} ({why})" for name, why in wrong.files[:_FILES_NAMED])
    more = f" and {wrong.skipped - _FILES_NAMED} more" if wrong.skipped > _FILES_NAMED else ""
    not_text = [one for one in errors if isinstance(one, NotTextError)]
    looks = Counter(one.looks for one in not_text if one.looks)
    remedies = ["set data.on_encoding_error to skip"]
    if any(one.may_replace for one in not_text):
        remedies[0] += " or replace"
    if looks:
        likely = looks.most_common(1)[0][0]
        remedies.insert(0, f"set data.encoding to {likely}, which they look like")
    else:
        remedies.insert(0, "convert them")
    return CorpusError(
        f"{wrong.skipped:,} of {files:,} files cannot be used",
        f"{named}{more}",
        ", or ".join(remedies),
    )
