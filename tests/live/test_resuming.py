"""A run that moves: copied, to another machine or device, its text moved, edited or gone.

The advice in messages is followed to the letter.
"""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.runs import store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from tests.cli.conftest import Cli, cli

Make = Callable[..., Preset]
__all__ = ["cli"]
LINES = [f"Line {n}: {n * 7919 % 100} men and {n * 31 % 17} ships.\n" for n in range(120)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "play.txt"
    path.write_text("".join(LINES))
    return path


@pytest.fixture
def run(cli: Cli, tiny: Make, text: Path, tmp_path: Path) -> Run:
    """Stopped after 6 of 12 steps; its prepared text is not on this machine."""
    preset = tiny(
        data={"kind": "file", "path": str(text)},
        tokenizer={"kind": "bpe", "vocab_size": 280},
        training__max_steps=6,
    )
    file = tmp_path / "it.toml"
    file.write_text(preset.to_toml())
    assert cli("train", str(file), "--name", "it")[0] == 0
    shutil.rmtree(paths.corpora_dir())
    return store.find("it")


def resume(cli: Cli, *more: str) -> tuple[int, str]:
    code, out, err = cli("train", "--resume", "it", "--steps", "3", *more)
    return code, out + err


def losses(run: Run) -> dict[int, float]:
    curves = Curves(run)
    curves.read()
    return dict(zip(curves.steps.step, curves.steps.loss, strict=True))


def advised(message: str) -> list[str]:
    """The words of the last command in a message."""
    command = re.findall(r"slm-tui ((?:[^;]+))", message)[-1]
    return shlex.split(command.strip())


def test_a_moved_text_is_found_by_following_the_advice(
    cli: Cli, run: Run, text: Path, tmp_path: Path
) -> None:
    text.rename(tmp_path / "moved.txt")
    code, output = resume(cli)
    assert code == 1
    assert f"the text of {run.id} cannot be read" in output
    words = [
        word.replace("data.path=…", f"data.path={tmp_path / 'moved.txt'}")
        for word in advised(output)
    ]
    assert words[:3] == ["train", "--resume", run.id]
    code, _, err = cli(*words, "--steps", "3")
    assert code == 0, err
    assert list(losses(run)) == list(range(1, 10))
    # It is saved: the next time no option is needed.
    shutil.rmtree(paths.corpora_dir())
    assert resume(cli)[0] == 0
    assert run.preset().data.path == str(tmp_path / "moved.txt")  # type: ignore[union-attr]
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    assert newest.preset == run.preset()


def test_the_text_option_gives_the_location_too(
    cli: Cli, run: Run, text: Path, tmp_path: Path
) -> None:
    text.rename(tmp_path / "moved.txt")
    assert resume(cli, "--text", str(tmp_path / "moved.txt"))[0] == 0
    code, output = resume(cli, "--text", str(tmp_path))
    assert code == 1
    assert "is a directory, the run was trained on a file" in output


def test_a_changed_text_is_reported_and_the_advice_works(cli: Cli, run: Run, text: Path) -> None:
    """A new run from its weights keeps its tokenizer: the new text would make another one."""
    text.write_text(
        "".join(LINES) + "A new scene, with words that were never there: zephyr.\n" * 20
    )
    code, output = resume(cli)
    assert code == 1
    assert "has changed since it was trained" in output
    words = advised(output)
    assert words == ["train", "--from", f"{run.id}@last", "--text", str(text)]
    code, _, err = cli(*words, "--name", "forked", "--set", "training.max_steps=4")
    assert code == 0, err
    fork = store.find("forked")
    newest = [checkpoint.newest(one.checkpoints)[0] for one in (run, fork)]
    assert newest[0] is not None
    assert newest[1] is not None
    assert newest[0].tokenizer().fingerprint == newest[1].tokenizer().fingerprint
    # It can also be resumed after its prepared corpus is deleted.
    shutil.rmtree(paths.corpora_dir())
    assert cli("train", "--resume", "forked", "--steps", "2")[0] == 0
    assert list(losses(fork)) == list(range(1, 7))


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_run_on_a_table_read_by_the_first_version_resumes(
    cli: Cli, tiny: Make, tmp_path: Path, is_cached: bool
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "".join(LINES))
    preset = tiny(
        data={"kind": "file", "path": str(path)},
        tokenizer={"kind": "bpe", "vocab_size": 280},
        training__max_steps=6,
    )
    (tmp_path / "it.toml").write_text(preset.to_toml())
    with pytest.MonkeyPatch.context() as patch:
        fingerprint = sources.files.fingerprint
        patch.setattr(
            sources.files, "fingerprint", lambda data, reading: fingerprint(data, reading=1)
        )
        assert cli("train", str(tmp_path / "it.toml"), "--name", "it")[0] == 0
    if not is_cached:
        shutil.rmtree(paths.corpora_dir())
    code, output = resume(cli)
    assert code == 0, output
    assert ("the text was prepared again" in output) == (not is_cached)
    assert list(losses(store.find("it"))) == list(range(1, 10))
    if not is_cached:
        assert resume(cli)[0] == 0


def test_the_same_text_from_another_place_gives_the_same_losses(
    cli: Cli, run: Run, tiny: Make, text: Path, tmp_path: Path
) -> None:
    shutil.copytree(run.path, tmp_path / "copy", symlinks=True)
    assert resume(cli)[0] == 0
    shutil.rmtree(paths.corpora_dir())
    (tmp_path / "there").mkdir()
    shutil.copy(text, tmp_path / "there" / "other-name.txt")
    text.unlink()
    other = Run(tmp_path / "copy")
    place = f"data.path={tmp_path / 'there' / 'other-name.txt'}"
    code, _, err = cli("train", "--resume", str(other.path), "--steps", "3", "--set", place)
    assert code == 0, err
    assert losses(other) == losses(run)


def test_a_run_copied_with_links_dereferenced_resumes(cli: Cli, run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copied" / run.id
    shutil.copytree(run.path, copy, symlinks=False)
    assert (copy / "checkpoints" / "best").is_dir()
    assert not (copy / "checkpoints" / "best").is_symlink()
    for which in ("@best", "@last", "@6", ""):
        code, _, err = cli("generate", f"{copy}{which}", "--prompt", "L", "--max-tokens", "3")
        assert code == 0, err
    assert cli("evaluate", str(copy), "--samples", "0")[0] == 0
    code, _, err = cli("train", "--resume", str(copy), "--steps", "5")
    assert code == 0, err
    assert (copy / "checkpoints" / "last").is_symlink()
    assert list(losses(Run(copy))) == list(range(1, 12))
    assert not list((copy / "checkpoints").glob("damaged-*"))


def test_a_run_from_a_gpu_machine_resumes_on_the_cpu(cli: Cli, run: Run) -> None:
    text = (run.path / "preset.toml").read_text()
    (run.path / "preset.toml").write_text(text.replace('device = "cpu"', 'device = "cuda"'))
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    code, output = resume(cli)
    assert code == 1
    assert "there is no cuda device" in output
    assert "training.device" in output
    code, output = resume(cli, "--set", "training.device=auto")
    assert code == 0, output
    assert run.preset().training.device == "auto"
    assert resume(cli, "--device", "cpu")[0] == 0


@pytest.mark.parametrize(
    "assignment",
    [
        "training.threads=2",
        "training.log_every=2",
        "training.evaluate_every=3",
        "training.sample_every=2",
        "training.checkpoint_every=2",
        "training.keep_checkpoints=9",
        "training.log_to=tensorboard",
        "sampling.temperature=0.5",
        "sampling.max_tokens=3",
        "title=Another title",
    ],
)
def test_settings_that_do_not_affect_losses_may_change(cli: Cli, run: Run, assignment: str) -> None:
    code, output = resume(cli, "--set", assignment)
    assert code == 0, output
    path, _, value = assignment.partition("=")
    result = run.preset().to_dict()
    for part in path.split("."):
        result = result[part]
    assert str(result).strip("[]'") == value


@pytest.mark.parametrize(
    "assignment",
    [
        "optimizer.learning_rate=0.1",
        "model.n_layer=2",
        "training.seed=1",
        "training.micro_batch=8",
        "training.max_steps=99",
        "training.precision=bf16",
        "data.split.validation=0.2",
        "data.limit.characters=100",
        "tokenizer.vocab_size=300",
        "schedule.kind=constant",
        "name=another",
    ],
)
def test_settings_that_affect_losses_are_rejected_by_name(
    cli: Cli, run: Run, assignment: str
) -> None:
    before = (run.path / "preset.toml").read_bytes(), losses(run)
    code, output = resume(cli, "--set", assignment)
    assert code == 1
    assert assignment.partition("=")[0] in output
    assert output.count("\n") == 1
    assert ((run.path / "preset.toml").read_bytes(), losses(run)) == before


def test_evaluations_that_control_the_learning_rate_cannot_change(
    cli: Cli, tiny: Make, tmp_path: Path
) -> None:
    file = tmp_path / "plateau.toml"
    file.write_text(tiny(schedule={"kind": "constant", "plateau_factor": 0.5}).to_toml())
    assert cli("train", str(file), "--name", "it")[0] == 0
    code, output = resume(cli, "--set", "training.evaluate_every=2")
    assert code == 1
    assert "its learning rate or its end depends on the evaluations" in output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stories-tiny"], "--resume cannot be combined with a preset"),
        (["--from", "it"], "--resume cannot be combined with --from"),
        (["--name", "new"], "slm-tui runs rename it new"),
        (["--seed", "3"], "training.seed cannot change"),
        (["--set", "model.n_layr=3"], "did you mean model.n_layer"),
        (["--set", "training.threads=x"], "training.threads"),
    ],
)
def test_options_incompatible_with_resume_are_named(
    cli: Cli, run: Run, words: list[str], says: str
) -> None:
    code, output = resume(cli, *words)
    assert code == 1
    assert says in output


def test_a_failed_resume_changes_nothing(cli: Cli, run: Run, text: Path) -> None:
    text.unlink()
    before = (run.path / "preset.toml").read_bytes()
    code, _ = resume(cli, "--set", "data.path=/nowhere.txt", "--set", "training.threads=2")
    assert code == 1
    assert (run.path / "preset.toml").read_bytes() == before


def test_an_unloadable_newest_checkpoint_is_skipped(cli: Cli, run: Run) -> None:
    """Valid checksums, but from another model."""
    from safetensors.torch import load_file, save_file

    from slm_tui import manifest

    path = run.checkpoints / "step-000006"
    weights = load_file(path / "model.safetensors")
    weights["blocks.0.attention.qkv.weight"] = weights["blocks.0.attention.qkv.weight"][:-1].clone()
    save_file(weights, path / "model.safetensors")
    values = manifest.unsealed((path / "manifest.json").read_text())
    values["sha256"]["model.safetensors"] = manifest.digest(path / "model.safetensors")
    (path / "manifest.json").write_text(manifest.sealed(values))
    checkpoint.read(path)
    code, output = resume(cli)
    assert code == 0, output
    assert "checkpoint step-000006 cannot be loaded" in output
    assert "using an older one" in output
    assert list(losses(run)) == list(range(1, 10))
    assert (run.checkpoints / "damaged-step-000006").is_dir()


def test_checkpoints_without_a_manifest_are_kept_and_named(cli: Cli, run: Run) -> None:
    for path in checkpoint.all_in(run.checkpoints):
        (path / "manifest.json").unlink()
    before = sorted(path.name for path in run.checkpoints.iterdir())
    code, output = resume(cli)
    assert code == 1
    assert "it has 6 steps, but checkpoint step-000004 has no manifest.json" in output
    assert sorted(path.name for path in run.checkpoints.iterdir()) == before


def test_the_summary_is_written_later_after_a_kill(cli: Cli, run: Run) -> None:
    (run.path / "results.json").unlink()
    assert cli("runs", "list")[0] == 0
    assert json.loads((run.path / "results.json").read_text())["state"] == "done"
    (run.path / "results.json").unlink()
    assert cli("runs", "show", "it")[0] == 0
    assert json.loads((run.path / "results.json").read_text())["training_results"]["steps"] == 6
