"""Files that people edit: read despite editor artefacts, or refused naming the byte."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui import paths, plain_text
from slm_tui.config import overrides
from slm_tui.config.preset import Preset, from_file
from slm_tui.errors import PresetError
from slm_tui.tui import keymap
from tests.cli.conftest import Cli, cli

Make = Callable[..., Preset]
__all__ = ["cli"]
MARKED = {
    "UTF-8": b"\xef\xbb\xbf" + "name = 'Ünï'\n".encode(),
    "UTF-16, little end first": b"\xff\xfe" + "name = 'Ünï'\n".encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + "name = 'Ünï'\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("kind", MARKED)
def test_a_byte_order_mark_is_not_part_of_the_text(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(MARKED[kind])
    assert plain_text.toml(plain_text.read(path)) == {"name": "Ünï"}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"one\ntwo\n\xe9", r"byte 8 \(line 3\) is 0xe9, which is not UTF-8: save it as UTF-8"),
        (b"\xef\xbb\xbfone\n\xff", r"byte 7 \(line 2\) is 0xff"),
        (b"one\nt\0wo", r"byte 5 \(line 2\) is NUL \(0x00\): remove it"),
        (b"\xff\xfea\0b", r"byte 4 \(line 1\) is 0x62, which is not UTF-16"),
        (b"x" * (plain_text.MOST + 1), "more than 1,048,576 bytes"),
    ],
)
def test_bytes_that_are_not_text_are_named(raw: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=says):
        plain_text.read(path)


def test_a_link_is_followed_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "there.toml").write_text("a = 1")
    (tmp_path / "link.toml").symlink_to(tmp_path / "there.toml")
    assert plain_text.read(tmp_path / "link.toml") == "a = 1"
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ValueError, match="a device or a pipe"):
        plain_text.read(tmp_path / "pipe.toml")
    with pytest.raises(ValueError, match="a device or a pipe"):
        plain_text.read(Path("/dev/zero"))


def test_a_pipe_from_a_shell_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a = 1")
    os.close(writing)
    try:
        assert plain_text.read(Path(f"/dev/fd/{reading}")) == "a = 1"
    finally:
        os.close(reading)


def test_deeply_nested_toml_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        plain_text.toml("a = " + "[" * 100_000)
    deep = "[" * 100_000
    assert overrides.read_value(deep) == deep


# Where they are read.


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_preset_may_begin_with_a_byte_order_mark(
    encoding: str, tiny: Make, tmp_path: Path
) -> None:
    preset = tiny(title="Ünï")
    path = tmp_path / "x.toml"
    path.write_text(preset.to_toml(), encoding)
    assert from_file(path) == preset


@pytest.mark.parametrize(
    ("bad", "says"), [(b"\xe9", "is 0xe9"), (b"\0", "is NUL"), (b"\xff", "is 0xff")]
)
def test_a_bad_byte_in_a_preset_is_named(
    bad: bytes, says: str, tiny: Make, tmp_path: Path, cli: Cli
) -> None:
    path = tmp_path / "x.toml"
    raw = tiny().to_toml().encode()
    path.write_bytes(raw.replace(b'title = "', b'title = "' + bad, 1))
    assert path.read_bytes() != raw
    with pytest.raises(PresetError, match=says) as caught:
        from_file(path)
    assert "byte " in str(caught.value)
    for command in (("presets", "check"), ("train",)):
        code, _, err = cli(*command, str(path))
        assert code != 0
        assert says in err


def test_a_preset_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("name = " + "[" * 100_000)
    with pytest.raises(PresetError, match="nested too deeply"):
        from_file(path)


def test_a_broken_user_preset_does_not_hide_others(cli: Cli, tiny: Make) -> None:
    folder = paths.user_presets_dir()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "good.toml").write_text(tiny(name="good").to_toml())
    (folder / "nul.toml").write_bytes(b"name = '\0'")
    (folder / "deep.toml").write_text("name = " + "[" * 100_000)
    os.mkfifo(folder / "pipe.toml")
    code, out, err = cli("presets", "list")
    assert code == 0, err
    assert "good" in out
    assert "is NUL" in out + err
    assert "nested too deeply" in out + err


@pytest.mark.parametrize(
    ("raw", "says"),
    [(b"\xff\xff", "byte 0 (line 1) is 0xff"), (b"'train.pause' = 'p\0'", "is NUL")],
)
def test_a_bad_byte_in_the_keymap_is_named_and_the_keys_stay(raw: bytes, says: str) -> None:
    path = keymap.keymap_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    keys, problems = keymap.load()
    assert keys["train.pause"] == "space"
    assert says in problems[0]
    path.write_bytes(b"\xef\xbb\xbf'train.pause' = 'f9'\r\n")
    assert keymap.load()[0]["train.pause"] == "f9"
