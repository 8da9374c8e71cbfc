"""The settings of a dataset as a source."""

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from slm_tui.config.fields import reject, setting
from slm_tui.config.known_datasets import READY_MADE, ReadyMade, ready_made
from slm_tui.config.sources.settings import DataSettings
from slm_tui.config.sources.text_fields import Separator

# Names no split: the part is cut from training.
_NONE = "none"


class HuggingFaceData(DataSettings):
    """A dataset of the Hugging Face hub, of a web address, or a local one, through `datasets`."""

    location_setting: ClassVar[str] = "dataset"
    is_remote: ClassVar[bool] = True

    kind: Literal["huggingface"] = setting("huggingface", help="Where the text comes from")
    dataset: str = setting(
        "roneneldan/TinyStories",
        min_length=1,
        help="Name on the hub, a ready-made one, a local path, or the address of a file",
        suggestions=tuple(READY_MADE),
    )
    config: str = setting("", help="Configuration of the dataset, where it has several")
    revision: str = setting("", help="Branch, tag or commit; empty: the newest", advanced=True)
    train_split: str = setting("train", min_length=1, help="Name of the training split")
    validation_split: str = setting(
        "", help="Name of the validation split; empty: as ready-made, or cut; none: cut by ratio"
    )
    test_split: str = setting(
        "",
        help="Name of the test split; empty: as ready-made, or cut; none: cut by ratio",
        advanced=True,
    )
    text_column: str = setting("", help="Column with the text; empty: found by its usual names")
    second_column: str = setting("", help="A column to append to the first", advanced=True)
    column_separator: Separator = setting("\n\n", help="What joins two columns", advanced=True)
    minimum_length: int = setting(
        0, ge=0, help="Leave out shorter documents", unit="characters", nudge="125", advanced=True
    )
    maximum_length: int | None = setting(
        None, ge=1, help="Leave out longer documents", unit="characters", nudge="125", advanced=True
    )
    streaming: bool = setting(False, help="Read over the network without storing", advanced=True)
    cache_dir: str = setting(
        "", help="Where downloads are kept; empty: the usual place of datasets", advanced=True
    )

    @model_validator(mode="after")
    def _lengths_leave_something(self) -> Self:
        if self.maximum_length is not None and self.maximum_length < self.minimum_length:
            raise reject(
                "maximum_length",
                f"nothing is at least {self.minimum_length} and at most {self.maximum_length} long",
                self.minimum_length * 10,
            )
        return self

    @property
    def label(self) -> str:
        """See `DataSettings.label`."""
        return self.dataset

    def source_bytes(self) -> float | None:
        """See `DataSettings.source_bytes`: known of ready-made datasets."""
        entry = ready_made(self.dataset, self.config)
        return entry.bytes if entry is not None else None

    def own_splits(self) -> frozenset[str]:
        """See `DataSettings.own_splits`."""
        whole = self.completed()
        named = {"val": whole.validation_split, "test": whole.test_split}
        return frozenset(part for part, split in named.items() if split)

    def completed(self) -> Self:
        """The settings with what a ready-made dataset fills in; `none` becomes absent splits."""
        entry = ready_made(self.dataset, self.config)
        changes: dict[str, Any] = {}
        if entry is not None:
            changes = self._from_entry(entry)
        for name in ("validation_split", "test_split"):
            if changes.get(name, getattr(self, name)) == _NONE:
                changes[name] = ""
        return self.model_copy(update=changes)

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
