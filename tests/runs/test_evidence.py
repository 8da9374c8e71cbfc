"""The same files give the same evidence: read as they grow, at the end, or by another reader."""

import json
import time
from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.live.copy_watcher import CopyWatcher
from slm_tui.live.session import Session
from slm_tui.runs import evidence, store
from slm_tui.runs.curves import Curves, Sample
from slm_tui.runs.evidence import EvidenceBuilder
from tests.conftest import make_tiny
from tests.evaluation.record_curves import replay
from tests.tui.made_runs import add_run


def test_growing_and_complete_logs_give_the_same_evidence(home: Path) -> None:
    run = replay("overfitting")
    log = run.path / "training_log.csv"
    lines = log.read_text().splitlines(keepends=True)
    growing = Curves(run)
    gathering = EvidenceBuilder(run.preset())
    for upto in range(1, len(lines) + 1, 37):
        log.write_text("".join(lines[:upto]))
        growing.read()
        gathering.evidence(growing, run.info())
    log.write_text("".join(lines))
    growing.read()
    whole = Curves(run)
    whole.read()
    assert gathering.evidence(growing, run.info()) == EvidenceBuilder(run.preset()).evidence(
        whole, run.info()
    )


def test_a_long_log_becomes_few_blocks() -> None:
    run = add_run("long")
    curves = Curves(run)
    steps = curves.steps
    count = 20_000
    steps.step += range(1, count + 1)
    steps.loss += [3.0] * count
    steps.learning_rate += [0.5] * count
    steps.gradient_norm += [1.0] * count
    built = EvidenceBuilder(run.preset()).evidence(curves, run.info())
    assert 100 < len(built.blocks) < 512
    last = built.blocks[-1].last
    assert sum(block.rates for block in built.blocks) == pytest.approx(0.5 * last)
    assert {block.loss for block in built.blocks} == {3.0}


def test_repeated_steps_replace_earlier_ones() -> None:
    run = replay("healthy")
    curves = Curves(run)
    curves.read()
    gathering = EvidenceBuilder(run.preset())
    before = gathering.evidence(curves, run.info())
    rows = (run.path / "training_log.csv").read_text().splitlines()
    again = [row for row in rows[1:] if row and int(row.split(",")[0]) > 200]
    with (run.path / "training_log.csv").open("a") as file:
        file.write("\n".join(again) + "\n")
    curves.read()
    assert gathering.evidence(curves, run.info()).train_losses == before.train_losses


def test_a_failed_run_has_the_same_diagnosis_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    breaking = make_tiny(
        optimizer={"learning_rate": 1.0, "gradient_clip": 0, "eps": 1e-12, "beta2": 0.5},
        training__max_steps=200,
        training__checkpoint_every=1000,
        training__evaluate_every=100,
        training__sample_every=1000,
        schedule={"kind": "constant"},
    )
    session = Session.start(breaking, "breaks")
    assert session.wait(60)
    verdicts = evidence.of_run(session.run)
    assert verdicts[0].word in ("non-finite", "diverging", "learning rate too high")
    results = json.loads((session.run.path / "results.json").read_text())
    assert results["diagnosis"][0]["verdict"] == verdicts[0].word
    assert results["diagnosis"][0]["remedies"][0]["changes"]
    main(["runs", "show", "breaks"])
    assert f"diagnosis        {verdicts[0].sign} {verdicts[0].word}" in capsys.readouterr().out
    main(["runs", "show", "breaks", "--json"])
    result = json.loads(capsys.readouterr().out)["diagnosis"]
    assert result[0]["verdict"] == verdicts[0].word


def test_copied_samples_of_a_real_run_are_detected() -> None:
    session = Session.start(make_tiny(), "real")
    assert session.wait(60)
    run = session.run
    from slm_tui.runs.copied_samples import training_index

    fingerprint = str(run.info().facts["corpus"])
    result = training_index(fingerprint)
    assert result is not None
    corpus, index, natural = result
    assert training_index(fingerprint) is result  # built once
    assert index.is_whole
    assert natural.shares
    text = corpus.tokenizer.decode_bytes(corpus.train[40:240].tolist()).decode("utf-8", "replace")
    watch = CopyWatcher()
    watch.ask(fingerprint, [Sample(0.0, 9, "", text)])
    for _ in range(400):
        if watch.copying is not None:
            break
        time.sleep(0.02)
    assert watch.copying is not None
    assert watch.copying.overlap.share == 1
    assert watch.copying.overlap.longest == watch.copying.overlap.tokens
    watch.close()


def test_a_deleted_corpus_gives_no_result() -> None:
    watch = CopyWatcher()
    watch.ask("0" * 24, [Sample(0.0, 1, "a", "b")])
    assert store.all_runs() == []
    for _ in range(200):
        if not watch.is_busy:
            break
        time.sleep(0.02)
    assert watch.copying is None
