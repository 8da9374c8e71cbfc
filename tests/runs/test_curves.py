"""A log as curves: as it grows, and with repeated steps replacing earlier ones."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.preset import Preset
from slm_tui.runs import curves as curves_module
from slm_tui.runs import store
from slm_tui.runs.curves import Curves, LoggedEvent, Sample
from slm_tui.runs.recorder import TRAINING_COLUMNS
from slm_tui.runs.store import Run
from slm_tui.training.event_json import kind_of
from slm_tui.training.events import Paused

Make = Callable[..., Preset]
HEADER = ",".join(TRAINING_COLUMNS) + "\n"


def row(step: int, loss: float | str = 2.0, val: float | str = "") -> str:
    bits = "" if val == "" else "1.25"
    return f"{step},1.0,{step / 10},{step * 64},0.01,{loss},{val},,,,{bits},1.5,640.0,text\n"


@pytest.fixture
def run(tiny: Make) -> Run:
    return store.create(tiny())


def write(run: Run, text: str) -> None:
    with (run.path / "training_log.csv").open("a") as file:
        file.write(text)


def rewrite(run: Run, *parts: str) -> None:
    (run.path / "training_log.csv").write_text("".join(parts))


def test_a_run_without_a_log_has_empty_curves(run: Run) -> None:
    curves = Curves(run)
    assert not curves.read()
    assert curves.steps.step == []


def test_rows_become_points_of_the_curves(run: Run) -> None:
    write(run, HEADER + row(0, "", 5.5) + row(1, 4.0) + row(2, 3.0, 3.5))
    curves = Curves(run)
    assert curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1, 2], [4.0, 3.0])
    assert curves.steps.tokens == [64, 128]
    assert (curves.evaluations.step, curves.evaluations.loss) == ([0, 2], [5.5, 3.5])
    assert curves.evaluations.bits_per_byte == [1.25, 1.25]
    assert curves.evaluations.best() == 1
    assert not curves.read()


def test_a_growing_log_is_followed_even_within_a_line(run: Run) -> None:
    whole = HEADER + "".join(row(step, 1 / step) for step in range(1, 20))
    curves = Curves(run)
    for at in range(0, len(whole), 37):
        write(run, whole[at : at + 37])
        curves.read()
    assert curves.steps.step == list(range(1, 20))
    assert curves.steps.loss == [1 / step for step in range(1, 20)]


def test_repeated_steps_replace_earlier_ones(run: Run) -> None:
    write(run, HEADER + "".join(row(step, 1.0, 1.0 if step == 5 else "") for step in range(1, 8)))
    curves = Curves(run)
    curves.read()
    generation = curves.generation
    write(run, "".join(row(step, 2.0) for step in (4, 5)))
    curves.read()
    assert curves.steps.step == [1, 2, 3, 4, 5]
    assert curves.steps.loss == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert curves.evaluations.step == []
    assert curves.generation > generation


def test_a_repeated_evaluation_replaces_the_earlier_one(run: Run) -> None:
    write(run, HEADER + row(5, 1.0, 1.5) + row(5, "", 1.25))
    curves = Curves(run)
    curves.read()
    assert (curves.evaluations.step, curves.evaluations.loss) == ([5], [1.25])
    assert curves.steps.step == [5]


@pytest.mark.parametrize(
    "line",
    [
        "\n",
        "rubbish\n",
        "1,2,3\n",
        "x" * 999 + "\n",
        row(9)[:-12] + "\n",
        row(9)[:-8] + "\n",
        "9" + "," * 13 + "\n",
    ],
)
def test_a_line_that_is_not_a_row_is_ignored(run: Run, line: str) -> None:
    write(run, HEADER + row(1) + row(2) + line)
    curves = Curves(run)
    curves.read()
    assert curves.steps.step == [1, 2]


def test_a_non_finite_loss_is_never_the_best(run: Run) -> None:
    write(run, HEADER + row(1, "nan", "nan") + row(2, "inf", 3.0) + row(3, 1.0, "nan"))
    curves = Curves(run)
    curves.read()
    assert math.isnan(curves.steps.loss[0])
    assert curves.evaluations.best() == 1


def test_lines_that_are_not_objects_are_ignored(run: Run) -> None:
    (run.path / "events.jsonl").write_text('{"event": "paused"}\n[1]\nnull\n{"half\n')
    curves = Curves(run)
    curves.read()
    assert curves.events == [LoggedEvent(0.0, Paused(0))]


def test_lines_with_values_of_other_types_are_ignored(run: Run) -> None:
    bad = ('"step": -1', '"step": "7"', '"step": 1e400', '"step": []', '"timestamp": "now"')
    events = [f'{{"event": "saved", {one}}}' for one in bad]
    deep = '{"event": ' + "[" * 100_000
    (run.path / "events.jsonl").write_text("\n".join([*events, deep, '{"event": "paused"}\n']))
    samples = ['{"text": 7}', '{"text": "\\ud800 half", "step": 3, "extra": {"deep": [1]}}']
    (run.path / "samples.jsonl").write_text("\n".join([*samples, ""]))
    curves = Curves(run)
    curves.read()
    assert [kind_of(one.event) for one in curves.events] == ["paused"]
    (sample,) = curves.samples
    assert sample == Sample(0.0, 3, "", "\ufffd half")


@pytest.mark.parametrize("cell", ["-5", "9" * 30, "9" * 5000, "1e400", "nan", "", "x", "\x1b[2J"])
def test_rows_with_impossible_numbers_are_ignored(run: Run, cell: str) -> None:
    good = row(1, 5.0)
    for at in (0, 2, 3):
        cells = good.strip("\n").split(",")
        cells[at] = cell
        rewrite(run, HEADER, good, ",".join(cells) + "\n", row(2, 4.0))
        curves = Curves(run)
        curves.read()
        assert curves.steps.step == [1, 2], (at, cell)


def test_a_long_file_is_read_from_its_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_module, "_MOST_LOG", 2000)
    rewrite(run, HEADER, *(row(step, 5.0) for step in range(1, 1001)))
    curves = Curves(run)
    curves.read()
    assert curves.steps.step[-1] == 1000
    assert 5 < len(curves.steps.step) < 100
    assert curves.steps.step == list(range(curves.steps.step[0], 1001))


def test_an_endless_line_takes_no_memory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_module, "_LONGEST", 1000)
    monkeypatch.setattr(curves_module, "_CHUNK", 300)
    rewrite(run, HEADER, row(1, 5.0), "9" * 50_000, "\n", row(2, 4.0))
    curves = Curves(run)
    curves.read()
    assert curves.steps.step == [1, 2]
    assert len(curves._log._rest) <= 1300


def test_a_log_replaced_by_a_shorter_one_is_read_again(run: Run) -> None:
    rewrite(run, HEADER, row(1, 5.0), row(2, 4.0), row(3, 3.0))
    curves = Curves(run)
    curves.read()
    rewrite(run, HEADER, row(1, 6.0))
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1], [6.0])


@settings(max_examples=60, deadline=None)
@given(attempts=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=6))
def test_after_any_interruptions_steps_ascend_and_the_last_attempt_counts(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, int]]
) -> None:
    run = Run(tmp_path_factory.mktemp("run"))
    write(run, HEADER)
    curves, expected, reached = Curves(run), dict[int, float](), 0
    for number, (back, count) in enumerate(attempts):
        first = max(0, reached - back) + 1
        expected = {step: loss for step, loss in expected.items() if step < first}
        for step in range(first, first + count):
            write(run, row(step, float(number)))
            expected[step] = float(number)
        reached = first + count - 1
        curves.read()
    assert dict(zip(curves.steps.step, curves.steps.loss, strict=True)) == expected
    assert curves.steps.step == sorted(expected)


# Logs with other columns


def test_a_log_is_read_by_its_header(run: Run) -> None:
    rewrite(
        run,
        "tokens_seen,note,train_loss,step,elapsed_seconds,val_loss,learning_rate\n",
        '64,"a, b",4.0,1,0.5,,0.01\n128,x,3.0,2,1.0,3.5,0.02\n',
    )
    curves = Curves(run)
    assert curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1, 2], [4.0, 3.0])
    assert (curves.steps.tokens, curves.steps.seconds) == ([64, 128], [0.5, 1.0])
    assert curves.steps.learning_rate == [0.01, 0.02]
    # A column that the log lacks gives NaN.
    assert all(map(math.isnan, curves.steps.gradient_norm))
    assert (curves.evaluations.step, curves.evaluations.loss) == ([2], [3.5])
    assert all(map(math.isnan, curves.evaluations.bits_per_byte))
    # A text is not a metric.
    assert curves.steps.metrics == {}


def test_unknown_columns_are_kept_by_name(run: Run) -> None:
    header = HEADER.replace("sample", "ratio,rate of chunks,sample")

    def line(step: int, *cells: str) -> str:
        return row(step).replace("text", ",".join([*cells, "text"]))

    write(run, header + line(1, "", "") + line(2, "0.5", "") + line(3, "0.25", "7"))
    curves = Curves(run)
    curves.read()
    ratio, rate = curves.steps.metrics["ratio"], curves.steps.metrics["rate of chunks"]
    assert math.isnan(ratio[0])
    assert ratio[1:] == [0.5, 0.25]
    assert rate[2] == 7.0
    write(run, line(2, "0.75", "8"))
    curves.read()
    assert curves.steps.step == [1, 2]
    assert curves.steps.metrics["ratio"][1] == 0.75
    assert len(curves.steps.metrics["rate of chunks"]) == 2


def test_a_replaced_file_is_read_by_its_own_header(run: Run) -> None:
    write(run, HEADER + "".join(row(step) for step in range(1, 30)))
    curves = Curves(run)
    curves.read()
    rewrite(run, "train_loss,step\n", "1.5,1\n")
    curves.read()
    assert (curves.steps.step, curves.steps.loss) == ([1], [1.5])


def test_a_log_of_the_first_version_is_read_completely(run: Run) -> None:
    header = HEADER.replace("tokens_per_second", "auxiliary_loss,tokens_per_second")
    write(run, header + row(1).replace(",1.5,640.0", ",1.5,,640.0"))
    curves = Curves(run)
    curves.read()
    assert (curves.steps.step, curves.steps.tokens_per_second) == ([1], [640.0])


def test_a_long_log_is_read_in_slices_that_add_up_to_the_whole(run: Run) -> None:
    header = ",".join(TRAINING_COLUMNS)
    numbers = {"learning_rate", "train_loss", "grad_norm", "tokens_per_second"}

    def line(step: int) -> str:
        own = {"step": str(step), "elapsed_seconds": f"{step / 10}", "tokens_seen": str(64 * step)}
        usual = {name: "0.5" if name in numbers else "" for name in TRAINING_COLUMNS}
        return ",".join((usual | own).values())

    lines = [line(step) for step in range(1, 30_001)]
    log = run.path / "training_log.csv"
    log.write_text("\n".join([header, *lines]) + "\n")
    whole, sliced = Curves(run), Curves(run)
    whole.read()
    reads = 0
    while sliced.read(0.0) or sliced.has_more:
        reads += 1
        steps = sliced.steps.step
        assert steps == list(range(1, len(steps) + 1))
    assert reads > 20
    assert sliced.steps == whole.steps
    assert len(whole.steps.step) == 30_000
    with log.open("a") as file:
        file.write(line(30_001) + "\n")
    assert sliced.read(0.0)
    assert sliced.steps.step[-1] == 30_001
    assert not sliced.read(0.0)
