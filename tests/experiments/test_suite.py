"""Suites from TOML, and their runs: everything wrong is reported before anything trains."""

from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.experiments import shelf
from slm_tui.experiments.plan import digest, plan
from slm_tui.experiments.suite import Suite, SuiteError, from_toml, parse
from tests.conftest import make_tiny
from tests.experiments.conftest import MakeSuite


def problems(make: Any) -> tuple[str, ...]:
    with pytest.raises(SuiteError) as caught:
        make()
    return caught.value.problems


def test_variations_change_the_base_and_nothing_else(suite: MakeSuite) -> None:
    made = plan(suite())
    assert [run.variation for run in made.runs] == ["slow", "fast"]
    slow, fast = (run.preset for run in made.runs)
    assert (slow.optimizer.learning_rate, fast.optimizer.learning_rate) == (1e-4, 1e-2)
    assert slow.model == fast.model == make_tiny().model
    assert (slow.base, slow.group) == ("tiny", "mine")


def test_seeds_run_in_turn_so_that_an_early_look_compares_all_variations(suite: MakeSuite) -> None:
    made = plan(suite(seeds=[3, 1]))
    order = [(run.variation, run.seed) for run in made.runs]
    assert order == [("slow", 3), ("fast", 3), ("slow", 1), ("fast", 1)]
    assert all(run.preset.training.seed == run.seed for run in made.runs)


def test_a_grid_has_every_combination_with_a_name_made_of_its_values(suite: MakeSuite) -> None:
    grid = {"model.n_layer": [1, 2], "optimizer.learning_rate": [1e-3, 1e-2]}
    made = plan(suite(grid=grid))
    assert [run.variation for run in made.runs] == [
        "n_layer-1_learning_rate-0.001",
        "n_layer-1_learning_rate-0.01",
        "n_layer-2_learning_rate-0.001",
        "n_layer-2_learning_rate-0.01",
    ]
    assert [run.preset.model.layers for run in made.runs] == [1, 1, 2, 2]


def test_a_random_search_draws_the_same_values_for_the_same_seed(suite: MakeSuite) -> None:
    fields = {
        "optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "model.n_layer": {"low": 1, "high": 3},
        "schedule.kind": {"values": ["cosine", "constant"]},
    }
    search = {"trials": 20, "seed": 5, "fields": fields}
    first, again = plan(suite(search=search)), plan(suite(search=search))
    assert [run.digest for run in first.runs] == [run.digest for run in again.runs]
    presets = [run.preset for run in first.runs]
    assert {preset.model.layers for preset in presets} == {1, 2, 3}
    assert {preset.schedule.kind for preset in presets} == {"cosine", "constant"}
    rates = sorted(preset.optimizer.learning_rate for preset in presets)
    assert 1e-4 <= rates[0] < 1e-3 < 1e-2 < rates[-1] <= 1e-1
    other = plan(suite(search=search | {"seed": 6}))
    assert [run.digest for run in other.runs] != [run.digest for run in first.runs]


def test_the_budget_cuts_the_plan(suite: MakeSuite) -> None:
    each = make_tiny().training.max_steps
    seeds = [1, 2, 3]
    assert len(plan(suite(seeds=seeds, budget={"runs": 4})).runs) == 4
    assert len(plan(suite(seeds=seeds, budget={"steps": 3 * each})).runs) == 3
    assert len(plan(suite(seeds=seeds)).runs) == 6


def test_a_text_replaces_that_of_the_suite_and_keeps_its_limit(
    suite: MakeSuite, tmp_path: Path
) -> None:
    text = tmp_path / "own.txt"
    text.write_text("A cat sat on a mat.\n" * 400)
    shared = {"data.kind": "stories", "data.documents": 30, "data.limit.fraction": 0.5}
    made = plan(suite(set=shared), text=str(text))
    for run in made.runs:
        assert run.preset.data.kind == "file"
        assert run.preset.data.limit.fraction == 0.5


def test_labels_and_the_device_do_not_change_the_digest_and_settings_do() -> None:
    tiny = make_tiny()
    renamed = make_tiny(name="other", title="Other", training__device="cpu", training__threads=1)
    assert digest(renamed) == digest(tiny)
    assert digest(make_tiny(training__seed=1)) != digest(tiny)


def test_every_wrong_variation_is_reported_on_a_line_of_its_own(suite: MakeSuite) -> None:
    variations = [{"name": f"v{number}", "set": {"model.n_layer": 1}} for number in range(1, 9)]
    variations[2]["set"] = {"model.layers": 3}
    variations[6]["set"] = {"model.n_embd": -64}
    variations[7] = {"name": "v8", "preset": "no-such-preset"}
    lines = problems(lambda: plan(suite(variations=variations)))
    assert len(lines) == 3
    assert lines[0].startswith("variation v3: there is no setting 'model.layers'")
    assert lines[1].startswith("variation v7: model.n_embd: ")
    assert lines[2].startswith("variation v8: there is no preset 'no-such-preset'")
    assert not any("\n" in line for line in lines)


def test_a_grid_of_billions_is_refused_at_once(suite: MakeSuite) -> None:
    names = ["n_layer", "n_head", "n_embd", "block_size", "dropout"]
    grid = {f"model.{name}": list(range(1, 101)) for name in names}
    assert problems(lambda: plan(suite(grid=grid))) == (
        "it has 10,000,000,000 runs; at most 10,000 are possible",
    )


def test_a_missing_text_is_reported_once(suite: MakeSuite, tmp_path: Path) -> None:
    path = str(tmp_path / "missing.txt")
    lines = problems(lambda: plan(suite(set={"data.kind": "file", "data.path": path})))
    assert lines == (f"variation slow: data.path: there is no {path}",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"variations": [{"name": "a"}, {"name": "a"}]}, "two variations have the name 'a'"),
        ({"variations": [{"name": "../a"}]}, "cannot be used"),
        ({"variations": [], "grid": {}}, "a suite has one of variations, a grid and a search"),
        ({"grid": {"model.n_layer": []}}, "model.n_layer has no values"),
        ({"seeds": [1, 1]}, "a seed occurs twice"),
        ({"seeds": ["x"]}, "'x' is not a whole number"),
        ({"reference": "slowest"}, "there is no variation 'slowest'"),
        ({"base": ""}, "some variations change the base"),
        ({"budget": {"minutes": 0}}, "budget.minutes"),
        ({"colour": "red"}, "colour: no such setting"),
        (
            {"search": {"fields": {"model.n_layer": {"low": 4, "high": 4}}}},
            "the range from 4 to 4 is empty",
        ),
        ({"search": {"fields": {"model.n_layer": {"low": 4}}}}, "the range has no such end"),
        (
            {"search": {"fields": {"x": {"low": 0, "high": 1, "log": True}}}},
            "a logarithmic range begins above 0",
        ),
        ({"search": {"fields": {}}}, "search.fields"),
    ],
)
def test_an_impossible_suite_names_its_problem(
    suite: MakeSuite, changes: dict[str, Any], expected: str
) -> None:
    text = "; ".join(problems(lambda: suite(**changes)))
    assert expected in text
    assert "\n" not in text


def test_a_figure_that_a_lesson_cannot_fill_is_a_problem(suite: MakeSuite) -> None:
    texts = dict.fromkeys(("before", "during", "question", "answer"), "text")
    lesson = {**texts, "after": "{slow.val} {fats.val} {fast.speed}"}
    lines = problems(lambda: plan(suite(lesson=lesson)))
    assert lines == (
        "lesson: {fats.val}: there is no variation 'fats'",
        "lesson: {fast.speed}: there is no figure 'speed'",
    )


def test_a_suite_survives_toml(suite: MakeSuite) -> None:
    made = suite(seeds=[1, 2], budget={"minutes": 3}, title="Mine")
    assert from_toml(made.to_toml()) == made


def test_a_suite_of_a_newer_version_says_so() -> None:
    with pytest.raises(SuiteError, match="newer"):
        parse({"format": 99, "name": "x"}, "x.toml")


def test_damaged_toml_is_one_line() -> None:
    with pytest.raises(SuiteError, match="not valid TOML") as caught:
        from_toml("name = ", "x.toml")
    assert "\n" not in str(caught.value)


SHIPPED = [entry.name for entry in shelf.entries() if entry.builtin]


def test_every_named_suite_is_shipped() -> None:
    assert {
        "quick", "vocab", "embedding", "architecture", "data", "learning-rate", "all",
        "week-1", "week-2", "week-3", "week-4", "shakespeare", "bytes",
    } <= set(SHIPPED)  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_suite_is_valid_offline_and_says_what_it_is_for(name: str) -> None:
    suite = shelf.get(name)
    made = plan(suite)
    assert suite.title
    assert suite.description
    assert suite.expect
    assert suite.minutes
    assert suite.reference or len(made.variations) == 1
    for run in made.runs:
        assert run.preset.data.kind == "stories"
    assert len({run.digest for run in made.runs}) == len(made.runs)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_suite_reads_the_users_text(name: str, tmp_path: Path) -> None:
    text = tmp_path / "own.txt"
    text.write_text("A cat sat on a mat.\n" * 4000)
    made = plan(shelf.get(name), text=str(text))
    assert all(run.preset.data.kind == "file" for run in made.runs)
    assert len({run.digest for run in made.runs}) == len(made.runs)


def test_the_lessons_lead_from_week_1_to_week_4() -> None:
    name, seen = "week-1", []
    while name:
        lesson = shelf.get(name).lesson
        assert lesson is not None
        seen.append(name)
        name = lesson.next
    assert seen == ["week-1", "week-2", "week-3", "week-4"]


def test_an_own_suite_is_saved_found_and_never_overwritten(suite: MakeSuite) -> None:
    made = suite()
    shelf.save(made)
    assert shelf.get("mine") == made
    with pytest.raises(SuiteError, match="already exists"):
        shelf.save(made)
    with pytest.raises(SuiteError, match="built-in"):
        shelf.save(Suite.model_validate({**made.to_dict(), "name": "vocab"}))
    assert shelf.free_name("mine") == "mine-2"


def test_a_damaged_own_suite_is_listed_with_its_reason(home: Path) -> None:
    directory = paths.user_suites_dir()
    directory.mkdir(parents=True)
    (directory / "broken.toml").write_text("name = 3")
    entry = next(one for one in shelf.entries() if one.name == "broken")
    assert entry.suite is None
    assert "broken.toml" in entry.error


def test_an_unknown_suite_suggests_a_similar_name() -> None:
    with pytest.raises(SuiteError, match="did you mean vocab"):
        shelf.get("vocabs")
