"""How much of a text is used, and how it is split."""

from typing import Self

from pydantic import model_validator

from slm_tui.config.fields import Settings, reject, setting

_MOST_HELD_OUT = 0.9


class Limit(Settings):
    """At most one of these limits; none means all of the text."""

    alternatives = (frozenset({"documents", "characters", "tokens", "fraction"}),)

    documents: int | None = setting(
        None, ge=1, help="Use only the first N documents", unit="documents", nudge="125"
    )
    characters: int | None = setting(
        None, ge=1, help="Use only the first N characters", unit="characters", nudge="125"
    )
    tokens: int | None = setting(
        None, ge=1, help="Use only the first N tokens", unit="tokens", nudge="125"
    )
    fraction: float | None = setting(
        None, gt=0, le=1, help="Use only this fraction of the documents", nudge="+0.05"
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        chosen = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise reject(chosen[1], f"only one limit may be set, not {' and '.join(chosen)}")
        return self


class Split(Settings):
    """Which part of the documents is held out from training."""

    validation: float = setting(
        0.1, ge=0, le=0.5, help="Fraction of the text held out for validation", nudge="+0.05"
    )
    test: float = setting(
        0.0, ge=0, le=0.5, help="Fraction of the text held out for the final test", nudge="+0.05"
    )

    @model_validator(mode="after")
    def _check_enough_is_left_to_train_on(self) -> Self:
        if self.validation + self.test > _MOST_HELD_OUT:
            raise reject(
                "test",
                f"validation {self.validation:g} and test {self.test:g} leave too little to "
                f"train on: at most {_MOST_HELD_OUT:g} may be held out",
                f"{max(0.0, _MOST_HELD_OUT - self.validation):g}",
            )
        return self
