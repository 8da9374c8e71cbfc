"""Files that cannot be read, are not regular, or change while being read: one-line errors."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config.data import DirectoryData, FileData
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.progress import Progress
from slm_tui.errors import CorpusError
from tests.corpus.helpers import open_place, source_error, stage, texts, without_root_rights

Make = Callable[..., Preset]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "/dev/random"])
def test_a_device_is_rejected_immediately(name: str, tiny: Make, tmp_path: Path) -> None:
    error = source_error(FileData(path=name), tmp_path)
    assert f"{name} is not a regular file" in str(error)
    with pytest.raises(CorpusError, match="not a regular file"):
        prepare(tiny(data={"kind": "file", "path": name}))


@pytest.mark.timeout(60)
def test_a_pipe_is_rejected_immediately_and_skipped_in_a_directory(
    tiny: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    pipe, link = folder / "pipe.txt", folder / "link.txt"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        assert "not a regular file" in str(source_error(FileData(path=str(path)), tmp_path))
        with pytest.raises(CorpusError, match="not a regular file"):
            prepare(tiny(data={"kind": "file", "path": str(path)}))
    assert "no files to read" in str(source_error(DirectoryData(path=str(folder)), tmp_path))
    (folder / "one.txt").write_text("one")
    assert texts(DirectoryData(path=str(folder)), tmp_path) == ["one"]


@pytest.mark.timeout(60)
def test_a_device_is_not_a_dataset(tiny: Make) -> None:
    with pytest.raises(CorpusError) as caught:
        prepare(tiny(data={"kind": "huggingface", "dataset": "/dev/zero"}))
    assert "/dev/zero" in str(caught.value)


def test_a_dangling_link_and_a_link_to_itself_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.txt").symlink_to(tmp_path / "self.txt")
    for name in ("gone.txt", "self.txt"):
        assert "cannot be read" in str(source_error(FileData(path=str(tmp_path / name)), tmp_path))


def test_an_unreadable_file_is_reported_in_one_line(tiny: Make) -> None:
    with open_place() as place:
        path = place / "text.txt"
        path.write_text("words")
        path.chmod(0)
        with without_root_rights():
            assert "Permission denied" in str(source_error(FileData(path=str(path)), place))
            with pytest.raises(CorpusError, match="Permission denied"):
                sources.fingerprint(FileData(path=str(path)))
            with pytest.raises(CorpusError, match="Permission denied"):
                prepare(tiny(data={"kind": "file", "path": str(path)}))


def test_a_file_in_an_inaccessible_directory_is_reported_in_one_line(tiny: Make) -> None:
    with open_place() as place:
        closed = place / "closed"
        closed.mkdir()
        (closed / "text.txt").write_text("words")
        closed.chmod(0)
        with without_root_rights():
            path = str(closed / "text.txt")
            assert "Permission denied" in str(source_error(FileData(path=path), place))
            with pytest.raises(CorpusError, match="Permission denied"):
                prepare(tiny(data={"kind": "file", "path": path}))


def test_an_unreadable_file_of_a_directory_is_named_or_skipped(tiny: Make) -> None:
    with open_place() as place:
        folder = place / "folder"
        folder.mkdir()
        for name in ("a.txt", "b.txt", "c.txt"):
            (folder / name).write_text(f"text of {name}")
        (folder / "b.txt").chmod(0)
        with without_root_rights():
            error = source_error(DirectoryData(path=str(folder)), place)
            assert "b.txt" in str(error)
            assert "Permission denied" in str(error)
            with pytest.raises(CorpusError, match=r"b\.txt"):
                prepare(tiny(data={"kind": "directory", "path": str(folder)}))
            staged = stage(DirectoryData(path=str(folder), on_encoding_error="skip"), place)
            sources.fingerprint(DirectoryData(path=str(folder), on_encoding_error="skip"))
        assert len(staged.parts["train"]) == 2
        assert staged.left_out.files == [("b.txt", "Permission denied")]


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_an_unreadable_directory_is_reported_in_one_line(tiny: Make, mode: int) -> None:
    with open_place() as place:
        folder = place / "folder"
        folder.mkdir()
        (folder / "a.txt").write_text("words")
        folder.chmod(mode)
        with without_root_rights():
            error = source_error(DirectoryData(path=str(folder)), place)
            assert "Permission denied" in str(error)
            with pytest.raises(CorpusError, match="Permission denied"):
                prepare(tiny(data={"kind": "directory", "path": str(folder)}))


def test_a_directory_below_an_inaccessible_one_is_reported_in_one_line(tiny: Make) -> None:
    with open_place() as place:
        (place / "closed" / "folder").mkdir(parents=True)
        (place / "closed").chmod(0)
        with without_root_rights():
            data = DirectoryData(path=str(place / "closed" / "folder"))
            assert "Permission denied" in str(source_error(data, place))


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_an_unreadable_subdirectory_is_not_skipped_silently(
    mode: int,
) -> None:
    with open_place() as place:
        folder = place / "folder"
        (folder / "closed").mkdir(parents=True)
        (folder / "a.txt").write_text("words")
        (folder / "closed" / "b.txt").write_text("more words")
        (folder / "closed").chmod(mode)
        with without_root_rights():
            assert "closed" in str(source_error(DirectoryData(path=str(folder)), place))


# Text that changes.


def writing(path: Path, change: Callable[[Path], object], stage: str) -> Callable[[Progress], None]:
    """A progress callback that changes the file once, as another program would."""
    changed = False

    def change_once(progress: Progress) -> None:
        nonlocal changed
        if progress.stage == stage and not changed:
            changed = True
            change(path)

    return change_once


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"text": "and more"}\n')


def overwrite(path: Path) -> None:
    path.write_bytes(path.read_bytes().swapcase())


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 1)


@pytest.mark.parametrize("change", [append, overwrite, cut])
def test_a_file_that_changes_while_being_read_is_detected(
    change: Callable[[Path], None], tiny: Make, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("words " * 400_000)
    preset = tiny(data={"kind": "file", "path": str(path)})
    with pytest.raises(CorpusError, match="changed while it was read.*try again"):
        prepare(preset, progress=writing(path, change, "reading"))
    assert list(paths.corpora_dir().iterdir()) == []
    assert len(prepare(preset).train) > 100


def test_a_file_that_disappears_while_being_read_is_reported_in_one_line(
    tiny: Make, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_text("words " * 400_000)
    preset = tiny(data={"kind": "file", "path": str(path)})
    with pytest.raises(CorpusError, match=r"text\.txt"):
        prepare(preset, progress=writing(path, Path.unlink, "reading"))
    assert list(paths.corpora_dir().iterdir()) == []


def test_a_table_that_changes_while_being_read_is_detected(tiny: Make, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "some words of text"}\n' * 200)
    preset = tiny(data={"kind": "file", "path": str(path)})
    with pytest.raises(CorpusError, match="changed while it was read"):
        prepare(preset, progress=writing(path, append, "opening the dataset"))
    assert list(paths.corpora_dir().iterdir()) == []


@pytest.mark.parametrize("change", [append, overwrite, lambda path: path.rename(f"{path}.md")])
def test_a_directory_that_changes_while_being_read_is_detected(
    change: Callable[[Path], object], tiny: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name * 4000)
    preset = tiny(data={"kind": "directory", "path": str(folder)})
    with pytest.raises(CorpusError, match="changed while it was read"):
        prepare(preset, progress=writing(folder / "a.txt", change, "reading"))
    assert list(paths.corpora_dir().iterdir()) == []


def test_a_new_text_with_the_same_size_and_time_is_prepared_again(
    tiny: Make, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    preset = tiny(data={"kind": "file", "path": str(path)})
    path.write_text("first text " * 99)
    times = path.stat()
    one = prepare(preset)
    path.write_text("other text " * 99)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    two = prepare(preset)
    assert one.fingerprint != two.fingerprint
    assert b"other" in two.tokenizer.decode_bytes(two.train.tolist())
    path.write_text("first text " * 99)
    assert prepare(preset).directory == one.directory
