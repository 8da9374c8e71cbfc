"""Rank 0 and the orders by which the processes of other ranks follow it."""

import torch

from slm_tui import __version__
from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches
from slm_tui.corpus.prepare import Corpus
from slm_tui.errors import TrainingError
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.ranks import Order, Ranks
from slm_tui.training.stepper import Stepper


def part_of(preset: Preset, ranks: Ranks) -> range:
    """The sequences of each step that this rank takes, of all micro-batches together.

    Raises:
        TrainingError: there are fewer sequences than ranks.
    """
    training, count = preset.training, ranks.count
    sequences = training.micro_batch * training.accumulation
    if sequences < count:
        raise TrainingError(
            f"a step cannot be divided over {count} processes",
            f"it has {sequences} sequence{'s' * (sequences != 1)}",
            f"set training.micro_batch to {count} or more, or use fewer processes",
        )
    return range(ranks.rank * sequences // count, (ranks.rank + 1) * sequences // count)


def batches_of(preset: Preset, corpus: Corpus, ranks: Ranks) -> Batches:
    """This rank's part of the batches of the run.

    Raises:
        TrainingError: there are fewer sequences than ranks.
        CorpusError: the corpus is too short for a window.
    """
    training = preset.training
    sequences = training.micro_batch * training.accumulation
    part = part_of(preset, ranks)
    return Batches(corpus.train, preset.model.block_size, sequences, training.seed, part)


def share_state(order: Order, stepper: Stepper, optimizer: FlatOptimizer, ranks: Ranks) -> None:
    """Take over from rank 0 what decides how a step continues; `order` has what is no tensor."""
    stepper.at_once = order["at_once"]
    stepper.scale.value, stepper.scale.calm = order["scale"], order["calm"]
    with torch.no_grad():
        for tensor in optimizer.everything():
            ranks.broadcast_(tensor)
    optimizer.clear()


class Team:
    """Leads the other ranks; with a single process, every method does nothing.

    Raises:
        TrainingError: from every method, if another process has ended.
    """

    def __init__(
        self, ranks: Ranks, device: torch.device, stepper: Stepper, optimizer: FlatOptimizer
    ) -> None:
        self._ranks = ranks
        self._device = device
        self._stepper = stepper
        self._optimizer = optimizer

    def begin(self, preset: Preset, corpus: Corpus) -> None:
        """Make the other ranks prepare for the run, and give them the weights."""
        if self._ranks.count == 1:
            return
        self._ranks.send(
            {
                "order": "begin",
                "version": __version__,
                "preset": preset.to_stored(),
                "corpus": corpus.fingerprint,
                "tokenizer": corpus.tokenizer.to_json(),
                "format": self._stepper.format,
            }
        )
        check(self._ranks.exchange(""))
        self._ranks.use(self._device)
        self.share()

    def share(self) -> None:
        """Give the other ranks all weights and moments, when they have changed without a step."""
        if self._ranks.count == 1:
            return
        scale = self._stepper.scale
        order: Order = {"order": "load", "at_once": self._stepper.at_once}
        order |= {"scale": scale.value, "calm": scale.calm}
        self._ranks.send(order)
        share_state(order, self._stepper, self._optimizer, self._ranks)

    def saved(self) -> None:
        """After a checkpoint: processors of other machines may round differently, so the other
        ranks take over the weights as a resumed run would."""
        if self._ranks.local_count < self._ranks.count:
            self.share()

    def step(self, step: int, learning_rate: float, place: float, steps_left: int) -> None:
        """Make the other ranks take their parts of a step."""
        if self._ranks.count > 1:
            values = {"step": step, "rate": learning_rate, "place": place, "left": steps_left}
            self._ranks.send({"order": "step", **values})

    def end(self, *, complete: bool) -> None:
        """Release the other ranks: the run has ended.

        Args:
            complete: it has all its steps, so that it does not matter if a process has ended.
        """
        try:
            self._ranks.send({"order": "end"})
        except TrainingError:
            if not complete:
                raise
        self._ranks.leave()

    def fail(self, reason: str) -> None:
        """The run has failed, maybe in the middle of a step: the other ranks cannot continue."""
        self._ranks.leave(reason)


def check(problems: list[str]) -> None:
    """Raise if a rank cannot train.

    Raises:
        TrainingError: with the problem of the first such rank.
    """
    for rank, problem in enumerate(problems):
        if problem:
            raise TrainingError(f"the process of rank {rank} cannot train", problem)
