"""Datasets from a hub over a real connection: downloaded, streamed, cached, missing, cancelled."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from slm_tui import paths
from slm_tui.config import library, overrides
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import Cancelled, Corpus, prepare
from slm_tui.corpus.progress import Progress
from slm_tui.errors import CorpusError
from tests import extent
from tests.corpus.hub_server import Hub

Tiny = Callable[..., Preset]
NAME = "roneneldan/TinyStories"
STORIES = [
    f"Once upon a time there were {n} bears, who were the best of friends. " for n in range(90)
]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    import datasets

    data = tmp_path / "hub" / NAME / "data"
    data.mkdir(parents=True)
    for split, texts in (("train", STORIES[:70]), ("validation", STORIES[70:])):
        rows = datasets.Dataset.from_dict({"text": texts})
        rows.to_parquet(data / f"{split}-00000-of-00001.parquet")
    (tmp_path / "hub" / "stories.txt").write_text("".join(STORIES))
    with Hub(tmp_path / "hub").running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield running


def of_hub(tiny: Tiny, dataset: str = NAME, **changes: object) -> Preset:
    return tiny(data={"kind": "huggingface", "dataset": dataset, **changes})


def documents(corpus: Corpus, part: str) -> list[str]:
    text = bytes(b for b in getattr(corpus, part).tolist()).split(b"\xff")
    return [one.decode() for one in text if one]


def left_behind(tmp_path: Path) -> list[Path]:
    half = list((tmp_path / "hf").rglob("*incomplete")) if (tmp_path / "hf").exists() else []
    making = paths.corpora_dir()
    return half + (list(making.glob(".making-*")) if making.exists() else [])


@extent.sample(1)
@pytest.mark.parametrize("streaming", [False, True])
def test_a_known_dataset_is_downloaded_with_its_own_splits(
    hub: Hub, tiny: Tiny, streaming: bool
) -> None:
    progress: list[Progress] = []
    corpus = prepare(of_hub(tiny, "tinystories", streaming=streaming), progress=progress.append)
    assert documents(corpus, "train") == STORIES[:70]
    assert documents(corpus, "val") == STORIES[70:]
    if not streaming:
        fetched = [one for one in progress if one.stage == "downloading"]
        assert fetched
        assert fetched[-1].done > 0
        assert fetched[-1].unit == "bytes"


def test_downloaded_datasets_are_read_again_without_a_network(hub: Hub, tiny: Tiny) -> None:
    prepare(of_hub(tiny))
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
    corpus = prepare(of_hub(tiny, limit={"documents": 20}))
    assert documents(corpus, "train") == STORIES[:20]
    assert documents(corpus, "val") == STORIES[70:]


def test_a_shipped_experiment_is_prepared_from_the_hub(hub: Hub) -> None:
    preset = library.get("experiments-data-medium")
    preset = overrides.apply(preset, ["tokenizer.kind=bytes", "model.block_size=32"])
    corpus = prepare(preset)
    assert documents(corpus, "train") == STORIES[:35]
    assert documents(corpus, "val") == STORIES[70:80]


TABLES = {
    "csv": ["text,label\nOne, two, three,1\nNA,2\n", "id;story\n7;Four\n"],
    "json": [
        '{"text": "One, two, three"}\n{"text": "NA", "n": 1}\n',
        '{"id": 7, "story": "Four"}\n',
    ],
}


def tables(tmp_path: Path, layout: str) -> str:
    """A dataset on the hub whose shards differ, written by hand."""
    data = tmp_path / "hub" / "somebody" / f"tables-{layout}" / "data"
    data.mkdir(parents=True)
    for number, text in enumerate(TABLES[layout]):
        (data / f"train-{number}.{layout}").write_text(text)
    (data / f"test-0.{layout}").write_text(TABLES[layout][1].replace("Four", "Five"))
    return f"somebody/tables-{layout}"


@extent.sample(2)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("layout", TABLES)
def test_tables_on_the_hub_with_different_shards_are_read_completely(
    hub: Hub, tiny: Tiny, tmp_path: Path, layout: str, streaming: bool
) -> None:
    name = tables(tmp_path, layout)
    split = {"validation": 0.0, "test": 0.0}
    whole = {"streaming": streaming, "split": split, "validation_split": "test"}
    corpus = prepare(of_hub(tiny, name, **whole))
    assert documents(corpus, "train") == ["One, two, three", "NA", "Four"]
    assert documents(corpus, "val") == ["Five"]


@extent.sample(1)
@pytest.mark.parametrize("layout", TABLES)
def test_downloaded_tables_are_read_again_without_a_network(
    hub: Hub, tiny: Tiny, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = tables(tmp_path, layout)
    prepare(of_hub(tiny, name, validation_split="test"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    corpus = prepare(of_hub(tiny, name, validation_split="test", limit={"documents": 2}))
    assert documents(corpus, "train") == ["One, two, three", "NA"]


@extent.sample(1)
@pytest.mark.parametrize("dataset", [NAME, "http://127.0.0.1:9/far.txt"])
def test_without_a_network_one_notice_names_what_is_missing_and_what_works(
    dataset: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(CorpusError) as caught:
        prepare(of_hub(tiny, dataset))
    message = str(caught.value)
    assert dataset in message
    assert str(tmp_path / "hf") in message
    assert "data.kind=stories and data.kind=file work without a network" in message
    assert "\n" not in message
    assert left_behind(tmp_path) == []


@extent.sample(2)
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dataset": "nobody/has-this"}, "the hub has no such dataset"),
        ({"validation_split": "dev"}, "no split 'dev': it has train, validation"),
        ({"config": "other"}, "set data.config"),
        ({"text_column": "story"}, "no column 'story': it has text"),
    ],
)
def test_a_dataset_missing_on_the_hub_is_reported_in_one_line(
    hub: Hub, tiny: Tiny, tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(CorpusError, match=says):
        prepare(of_hub(tiny, **changes))
    assert left_behind(tmp_path) == []


def test_a_file_downloaded_from_a_url_is_one_document(hub: Hub, tiny: Tiny) -> None:
    # Under another host name: a URL of the hub itself is read as a name on it.
    address = hub.address.replace("127.0.0.1", "localhost")
    corpus = prepare(of_hub(tiny, f"{address}/plain/stories.txt"))
    joined = "".join(documents(corpus, "train") + documents(corpus, "val"))
    assert "".join(joined.split()) == "".join("".join(STORIES).split())


def test_a_download_is_cancelled_immediately_and_leaves_nothing_behind(
    hub: Hub, tiny: Tiny, tmp_path: Path
) -> None:
    hub.seconds_per_block = 0.5
    big = tmp_path / "hub" / NAME / "data" / "train-00000-of-00001.parquet"
    import datasets

    datasets.Dataset.from_dict({"text": [os.urandom(400).hex() for _ in range(400)]}).to_parquet(
        big
    )
    cancel = Event()
    ended: list[BaseException] = []

    def work() -> None:
        try:
            prepare(of_hub(tiny), cancel=cancel)
        except Cancelled as error:
            ended.append(error)

    thread = Thread(target=work)
    thread.start()
    assert hub.sent.wait(60)
    cancel.set()
    thread.join(30)
    assert not thread.is_alive()
    assert len(ended) == 1
    assert left_behind(tmp_path) == []
