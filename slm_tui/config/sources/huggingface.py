"""The settings of a dataset source."""

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from slm_tui.config.data_files import is_rows
from slm_tui.config.fields import reject, setting
from slm_tui.config.known_datasets import READY_MADE, ReadyMade, ready_made
from slm_tui.config.sources import split_files
from slm_tui.config.sources.settings import DataSettings
from slm_tui.config.sources.text_fields import Separator

# No split of its own: the part is held out from training.
_NONE = "none"


class HuggingFaceData(DataSettings):
    """A dataset from the Hugging Face hub, a URL or a local path, read with `datasets`."""

    location_setting: ClassVar[str] = "dataset"
    is_remote: ClassVar[bool] = True

    kind: Literal["huggingface"] = setting("huggingface", help="Where the text comes from")
    dataset: str = setting(
        "roneneldan/TinyStories",
        min_length=1,
        help="Name on the hub, known dataset, local path, or URL of a file",
        suggestions=tuple(READY_MADE),
    )
    config: str = setting("", help="Configuration of the dataset, if it has several")
    revision: str = setting("", help="Branch, tag or commit; empty: latest", advanced=True)
    train_split: str = setting("train", min_length=1, help="Name of the training split")
    validation_split: str = setting(
        "", help="Validation split; empty: that of the dataset, else by ratio; none: by ratio"
    )
    test_split: str = setting(
        "",
        help="Test split; empty: that of the dataset, else by ratio; none: by ratio",
        advanced=True,
    )
    text_column: str = setting("", help="Text column; empty: detected by common names")
    second_column: str = setting("", help="Column to append to the text column", advanced=True)
    column_separator: Separator = setting(
        "\n\n", help="Separator between the two columns", advanced=True
    )
    minimum_length: int = setting(
        0, ge=0, help="Skip shorter documents", unit="characters", nudge="125", advanced=True
    )
    maximum_length: int | None = setting(
        None, ge=1, help="Skip longer documents", unit="characters", nudge="125", advanced=True
    )
    streaming: bool = setting(False, help="Stream over the network without storing", advanced=True)
    cache_dir: str = setting(
        "", help="Directory for downloads; empty: the default of datasets", advanced=True
    )

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        if self.maximum_length is not None and self.maximum_length < self.minimum_length:
            raise reject(
                "maximum_length",
                f"it is less than the minimum_length of {self.minimum_length}",
                self.minimum_length * 10,
            )
        return self

    @property
    def label(self) -> str:
        """See `DataSettings.label`."""
        return self.dataset

    def source_bytes(self) -> float | None:
        """See `DataSettings.source_bytes`: known for ready-made datasets."""
        entry = ready_made(self.dataset, self.config)
        return entry.bytes if entry is not None else None

    def own_splits(self) -> frozenset[str]:
        """See `DataSettings.own_splits`."""
        whole = self.completed()
        named = {"val": whole.validation_split, "test": whole.test_split}
        return frozenset(part for part, split in named.items() if split)

    def split_note(self) -> str:
        """See `DataSettings.split_note`."""
        explicit = {"val": self.validation_split, "test": self.test_split}
        names = self._split_names()
        own = [
            f"{split_files.PARTS[part]} {names[part]}"
            for part, name in explicit.items()
            if part in names and not name
        ]
        if not own or ready_made(self.dataset, self.config) is not None:
            return ""
        return f"splits of the dataset: training {self.train_split}, {', '.join(own)}"

    def completed(self, *, local: bool = True) -> Self:
        """The settings, completed from a ready-made dataset or the names of `local` files.

        Splits named `none` become empty.
        """
        entry = ready_made(self.dataset, self.config)
        changes: dict[str, Any] = {}
        if entry is not None:
            changes = self._from_entry(entry)
        elif local:
            own = self._split_names()
            named = {"validation_split": own.get("val"), "test_split": own.get("test")}
            changes = {name: one for name, one in named.items() if one and not getattr(self, name)}
        for name in ("validation_split", "test_split"):
            if changes.get(name, getattr(self, name)) == _NONE:
                changes[name] = ""
        return self.model_copy(update=changes)

    def _split_names(self) -> dict[str, str]:
        """What `datasets` calls the splits of a local directory, by part of a corpus.

        Empty if the training split is not the usual one: then all splits are named explicitly.
        """
        if self.train_split != "train" or "://" in self.dataset:
            return {}
        if saved := split_files.saved_splits(self.dataset):
            return saved
        files = split_files.in_directory(self.dataset, is_rows)
        usual = {"train": "train", "val": "validation", "test": "test"}
        return {part: usual[part] for part in files.parts} if files.has_splits else {}

    def _from_entry(self, entry: ReadyMade) -> dict[str, Any]:
        filled = {
            "config": entry.config,
            "validation_split": entry.validation,
            "test_split": entry.test,
            "text_column": entry.text_column,
            "minimum_length": entry.minimum_length,
        }
        chosen = {name: value for name, value in filled.items() if not getattr(self, name)}
        return {"dataset": entry.dataset, **chosen}
