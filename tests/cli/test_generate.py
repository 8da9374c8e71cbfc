"""`slm-tui generate`: its output, order, statistics, and how it ends."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slm_tui.runs import store
from tests import limits
from tests.cli.test_cli import Cli, assert_one_line, objects

SUMMARY = re.compile(
    r"Summary: \d+ samples?, [\d,]+ tokens in [\d.]+ s, [\d,]+ tokens/s, UTF-8 valid [\d.]+%\n"
)
BLOCK = re.compile(
    r"Sample (\d+)\nPrompt: (.*?)\nGenerated: (.*?)\n"
    r"Stats: [\d,]+ tokens in [\d.]+ s, [\d,]+ tokens/s, "
    r"UTF-8 (?:valid|broken in \d+ bytes), ended by [a-z ]+, seed (\d+)\n\n",
    re.DOTALL,
)


def test_a_prompt_is_continued(cli: Cli, trained: str) -> None:
    code, out, err = cli("generate", trained, "--prompt", "Once upon", "--max-tokens", "20")
    assert code == 0
    assert out.startswith("Once upon")
    assert SUMMARY.fullmatch(err)
    assert err.startswith("Summary: 1 sample, ")
    same = cli("generate", f"{trained}@last", "--prompt", "Once upon", "--max-tokens", "20")[1]
    assert same == out
    other = cli("generate", trained, "--prompt", "Once upon", "--max-tokens", "20", "--seed", "9")
    assert other[1] != out


def test_the_prompt_of_the_preset_is_the_default(cli: Cli, trained: str) -> None:
    assert cli("generate", trained)[1].startswith("Once")


def test_prompts_come_from_a_file_and_texts_go_to_one(
    cli: Cli, trained: str, tmp_path: Path
) -> None:
    prompts, output = tmp_path / "prompts.txt", tmp_path / "out" / "texts.jsonl"
    prompts.write_text("The cat\n\nThe dog\n")
    arguments = ["generate", trained, "--prompts", str(prompts), "--samples", "2"]
    code, out, err = cli(*arguments, "--output", str(output), "--json")
    assert (code, out) == (0, "")
    assert "wrote 4 completions" in err
    result = objects(output.read_text())
    assert [one["prompt"] for one in result] == ["The cat", "The cat", "The dog", "The dog"]
    assert [one["seed"] for one in result] == [7, 8, 7, 8]
    _, out, _ = cli(*arguments, "--json")
    assert [one["text"] for one in objects(out)] == [one["text"] for one in result]
    for one in result:
        assert one["ended"] in ("end of text", "max tokens")
        assert one["valid_bytes"] + one["invalid_bytes"] <= one["tokens"]
        assert one["tokens_per_second"] == pytest.approx(
            one["tokens"] / max(one["seconds"], 1e-4), rel=0.9, abs=1e5
        )


def test_greedy_does_not_depend_on_the_seed(cli: Cli, trained: str) -> None:
    arguments = ["generate", trained, "--prompt", "The", "--greedy", "--max-tokens", "10"]
    assert cli(*arguments)[1] == cli(*arguments, "--seed", "5")[1]


@pytest.mark.parametrize(
    "option",
    [
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--top-k", "0"],
        ["--top-p", "0"],
        ["--top-p", "1.5"],
        ["--top-p", "nan"],
        ["--repetition-penalty", "0.5"],
        ["--repetition-penalty", "nan"],
        ["--max-tokens", "0"],
        ["--samples", "0"],
        ["--batch", "0"],
        ["--device", "tpu"],
        ["--seed", "-1"],
        ["--seed", str(2**70)],
    ],
)
def test_a_setting_out_of_its_range_is_one_line(cli: Cli, trained: str, option: list[str]) -> None:
    assert_one_line(cli("generate", trained, "--prompt", "x", *option), option[0])


def test_what_generate_cannot_read_or_write_is_one_line(
    cli: Cli, trained: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    assert_one_line(cli("generate", trained, "--prompts", "/nowhere"), "cannot be read")
    assert_one_line(cli("generate", trained, "--prompts", str(empty)), "has no prompts")
    way = ["--prompt", "x", "--max-tokens", "1", "--output", f"{empty}/x"]
    assert_one_line(cli("generate", trained, *way), "cannot be written")
    assert_one_line(cli("generate", "nothing-like-it"), "there is no run")
    assert_one_line(cli("generate", f"{trained}@99"), "has no checkpoint 99", "it has 4")
    weights = store.find_checkpoint(trained) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert_one_line(cli("generate", trained), "is damaged", "model.safetensors")


@pytest.fixture
def many(trained: str, tmp_path: Path) -> list[str]:
    """Three prompts of different lengths, with two samples each."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("A much longer prompt\nOne\\ntwo\nZ\\\\n\n", encoding="utf-8")
    return ["generate", trained, "--prompts", str(prompts), "--samples", "2", "--temperature", "1"]


PROMPTS = ["A much longer prompt", "One\ntwo", "Z\\n"]


def test_the_order_follows_the_prompts_and_batching_changes_no_completion(
    cli: Cli, many: list[str]
) -> None:
    code, out, err = cli(*many, "--json")
    result = objects(out)
    assert code == 0
    assert SUMMARY.fullmatch(err)
    assert [one["prompt"] for one in result] == [one for one in PROMPTS for _ in range(2)]
    texts = [(one["text"], one["tokens"], one["ended"]) for one in result]
    # Some end before earlier ones.
    assert len({one["tokens"] for one in result}) > 1
    for size in ("1", "2", "4"):
        again = objects(cli(*many, "--json", "--batch", size)[1])
        assert [(one["text"], one["tokens"], one["ended"]) for one in again] == texts


def test_blocks_contain_the_completions_and_their_statistics(
    cli: Cli, many: list[str], tmp_path: Path
) -> None:
    texts = [one["text"] for one in objects(cli(*many, "--json")[1])]
    output = tmp_path / "deep" / "texts.txt"
    code, out, err = cli(*many, "--output", str(output))
    assert (code, out) == (0, "")
    assert err.startswith(f"wrote 6 completions to {output}\nSummary: 6 samples, ")
    # Only the summary besides the blocks.
    with output.open(encoding="utf-8", newline="") as file:
        content = file.read()
    blocks = BLOCK.findall(content)
    assert [number for number, *_ in blocks] == ["1", "2", "3", "4", "5", "6"]
    assert [prompt for _, prompt, *_ in blocks] == [one for one in PROMPTS for _ in range(2)]
    assert [text for _, _, text, _ in blocks] == texts
    assert [seed for *_, seed in blocks] == ["7", "8"] * 3
    assert SUMMARY.fullmatch(BLOCK.sub("", content))
    printed = cli(*many)[1]
    assert [blocks[:3] for blocks in BLOCK.findall(printed)] == [one[:3] for one in blocks]
    assert BLOCK.sub("", printed) == ""


def test_the_file_extension_decides_the_format(cli: Cli, trained: str, tmp_path: Path) -> None:
    prompts, output = tmp_path / "p.jsonl", tmp_path / "t.jsonl"
    requested = ["a", "two\nlines", "\\n stays", "🐻"]
    prompts.write_text("\n".join(json.dumps({"prompt": one, "more": 1}) for one in requested))
    arguments = ["generate", trained, "--prompts", str(prompts), "--output", str(output)]
    assert cli(*arguments)[0] == 0
    assert [one["prompt"] for one in objects(output.read_text(encoding="utf-8"))] == requested


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a prompt", "line 2 is not JSON"),
        ('{"text": "x"}', "line 2 has no prompt"),
        ('{"prompt": 5}', "line 2 has no prompt"),
        ("[1]", "line 2 has no prompt"),
    ],
)
def test_a_line_without_a_prompt_is_named(
    cli: Cli, trained: str, tmp_path: Path, line: str, says: str
) -> None:
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt": "fine"}\n' + line)
    result = cli("generate", trained, "--prompts", str(prompts))
    assert_one_line(result, says, 'write {"prompt": "…"} on each line')


def test_stop_strings_end_a_text(cli: Cli, trained: str, file: str) -> None:
    arguments = ["generate", trained, "--prompt", "Once", "--max-tokens", "40", "--json"]
    (whole,) = objects(cli(*arguments, "--stop", "")[1])
    # Control characters are allowed.
    stop = whole["text"][2]
    (result,) = objects(cli(*arguments, "--stop", stop, "--stop", "never in it")[1])
    assert result["text"] == whole["text"].partition(stop)[0]
    assert result["ended"] == "stop string"
    assert result["tokens"] < whole["tokens"]


def test_stop_strings_of_the_preset_apply_unless_others_are_given(cli: Cli, file: str) -> None:
    preset = ["train", file, "--json", "--set", "sampling.temperature=1"]
    code, out, _ = cli(*preset, "--set", 'sampling.stop=["e"]')
    assert code == 0
    arguments = ["generate", objects(out)[0]["run"], "--prompt", "x", "--samples", "20", "--json"]
    ended = [one["ended"] for one in objects(cli(*arguments)[1])]
    assert "stop string" in ended
    for other in ("", "\\n never"):
        result = objects(cli(*arguments, "--stop", other)[1])
        assert all(one["ended"] != "stop string" for one in result)
        assert any("e" in one["text"] for one in result)


def test_an_unwritable_output_is_reported_before_generating(
    cli: Cli, trained: str, tmp_path: Path
) -> None:
    assert_one_line(
        cli("generate", trained, "--output", str(tmp_path)), "is a directory", "name a file"
    )
    device = cli("generate", trained, "--device", "tpu")
    assert_one_line(device, "--device tpu", "auto, cpu, cuda, cuda:1 or mps")


def program(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return limits.start([sys.executable, "-m", "slm_tui", *arguments], **options)


def test_an_interrupt_keeps_the_completions_so_far(trained: str, tmp_path: Path) -> None:
    prompts, output = tmp_path / "prompts.txt", tmp_path / "texts.jsonl"
    prompts.write_text("one\n" * 400)
    # Completions that do not end: enough tokens for over a minute.
    endless = ["--max-tokens", "100000", "--batch", "2", "--temperature", "0.01"]
    command = ["generate", trained, "--prompts", str(prompts), *endless]
    terminal, inner = pty.openpty()
    process = program(*command, "--output", str(output), stderr=inner)
    os.close(inner)
    on_terminal = b""
    # Progress is shown: it has started.
    while b"tokens/s" not in on_terminal:
        on_terminal += limits.read(terminal, 1000)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    on_terminal += limits.read(terminal, 10_000)
    os.close(terminal)
    result = objects(output.read_text(encoding="utf-8"))
    assert 0 < len(result) < 400
    assert result[-1]["ended"] == "stopped"
    assert all(one["tokens"] > 0 for one in result)
    assert b"/400 completions, " in on_terminal
    assert f"wrote {len(result)} completions".encode() in on_terminal
    assert b"Traceback" not in on_terminal


def test_a_terminal_sees_the_text_as_it_grows_and_no_control_characters(trained: str) -> None:
    terminal, inner = pty.openpty()
    # The most likely tokens of this model repeat endlessly.
    command = ["generate", trained, "--prompt", "a\x1b[31m", "--max-tokens", "100000", "--greedy"]
    process = program(*command, stdout=inner, stderr=subprocess.DEVNULL)
    os.close(inner)
    on_terminal = b""
    while len(on_terminal) < 100:
        on_terminal += limits.read(terminal, 1000)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    # Reading a closed terminal raises an error.
    with contextlib.suppress(OSError):
        while more := limits.read(terminal, 1000):
            on_terminal += more
    assert process.wait(60) == 130
    os.close(terminal)
    assert on_terminal.startswith("a␛[31m".encode())
    assert not set(on_terminal) & (set(range(32)) - {10, 13})
