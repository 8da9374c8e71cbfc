"""Random search, and stopping its worse runs early, with `optuna`."""

from collections.abc import Sequence
from typing import Any

from slm_tui.errors import SlmTuiError
from slm_tui.experiments.suite import Range, Search


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SlmTuiError(
            "a random search needs the package optuna",
            "it is not installed",
            "install it: pip install 'slm-tui[search]'",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def combinations_of(search: Search) -> list[dict[str, Any]]:
    """The values to try, one dict by path for each trial: the same for the same seed.

    Raises:
        SlmTuiError: optuna is not installed.
    """
    optuna = _optuna()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=search.seed))
    result = []
    for _ in range(search.trials):
        trial = study.ask({path: _distribution(one) for path, one in search.fields.items()})
        result.append(
            {path: _value(one, trial.params[path]) for path, one in search.fields.items()}
        )
    return result


def _distribution(one: Range) -> Any:
    optuna = _optuna()
    if one.values:
        # Optuna chooses among scalars: the index stands for the value.
        return optuna.distributions.CategoricalDistribution(range(len(one.values)))
    if one.is_whole:
        return optuna.distributions.IntDistribution(one.low, one.high, log=one.log)
    return optuna.distributions.FloatDistribution(one.low, one.high, log=one.log)


def _value(one: Range, drawn: Any) -> Any:
    if one.values:
        return one.values[drawn]
    # Three digits: a learning rate of 0.00237 reads better and is as good as any other.
    return int(drawn) if one.is_whole else float(f"{drawn:.3g}")


class Halving:
    """Decides which runs of a search end early, by successive halving.

    Each run is compared, after 1, 3, 9… evaluations, with the runs that were as far before it.
    """

    def __init__(self, search: Search) -> None:
        optuna = _optuna()
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=search.first_evaluation, reduction_factor=search.keep_one_in
        )
        self._study = optuna.create_study(direction="minimize", pruner=pruner)
        self._trials: dict[str, Any] = {}

    def add(self, losses: Sequence[float]) -> None:
        """Take a finished run into account: its validation losses in order."""
        trial = self._study.ask()
        for number, loss in enumerate(losses, 1):
            trial.report(loss, number)
            trial.should_prune()
        if losses:
            self._study.tell(trial, losses[-1])

    def is_worse(self, run: str, number: int, loss: float) -> bool:
        """Whether `run` should end, now that its evaluation `number`, from 1, gave `loss`."""
        trial = self._trials.get(run)
        if trial is None:
            trial = self._trials[run] = self._study.ask()
        trial.report(loss, number)
        return bool(trial.should_prune())
