"""A process of a rank above 0: it does its part of every step and follows the orders of rank 0."""

import time
from typing import Any

from slm_tui import __version__
from slm_tui.config.preset import Preset, from_stored
from slm_tui.corpus import prepare as preparing
from slm_tui.corpus.prepare import Corpus
from slm_tui.corpus.tokenizers import from_json
from slm_tui.errors import SlmTuiError, TrainingError, in_words
from slm_tui.models.build import build
from slm_tui.training import device as devices
from slm_tui.training.memory import out_of_memory
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.precision import has_native_bf16
from slm_tui.training.ranks import Joined, Order
from slm_tui.training.stepper import Stepper
from slm_tui.training.team import batches_of, check, share_state
from slm_tui.training.threads import Threads


def follow(ranks: Joined) -> None:
    """Follow rank 0 to the end of the run.

    Raises:
        TrainingError: this rank or another cannot train, or another process has ended.
    """
    try:
        _follow(ranks)
    except Exception as error:
        ranks.leave(in_words(error))
        raise
    ranks.leave()


def _follow(ranks: Joined) -> None:
    part: _Part | None = None
    while True:
        order = ranks.receive()
        if order["order"] == "end":
            return
        if order["order"] == "begin":
            part = _begin(order, ranks)
        elif part is not None and order["order"] == "load":
            share_state(order, part.stepper, part.optimizer, ranks)
        elif part is not None and order["order"] == "step":
            part.step(order)
        else:
            raise TrainingError(f"rank 0 sent an unknown order, {order['order']!r}")


def _begin(order: Order, ranks: Joined) -> "_Part":
    """Get everything ready, and tell the others whether it is."""
    part, problem = None, ""
    try:
        part = _Part(order, ranks)
    except (SlmTuiError, OSError) as error:
        problem = in_words(error)
    except (MemoryError, RuntimeError) as error:
        problem = "memory ran out" if out_of_memory(error) else in_words(error)
    check(ranks.exchange(problem))
    assert part is not None
    ranks.use(part.device)
    return part


class _Part:
    """The model, the optimizer and the batches of this rank.

    Raises:
        SlmTuiError: something of it is not as in rank 0.
    """

    def __init__(self, order: Order, ranks: Joined) -> None:
        if order["version"] != __version__:
            raise TrainingError(
                "the processes of this run differ",
                f"rank 0 is slm-tui {order['version']}, rank {ranks.rank} is {__version__}",
                "install the same version on all machines",
            )
        preset = from_stored(order["preset"], "the preset of rank 0")
        corpus = _corpus(preset, order["corpus"], order["tokenizer"])
        self._batches = batches_of(preset, corpus, ranks)
        self.device = ranks.place(devices.choose_device(preset.training.device))
        Threads.of(preset, self.device, ranks)
        # Weights and moments come from rank 0.
        model = build(preset.model, corpus.tokenizer.n_vocab, self.device, None).train()
        self.optimizer = FlatOptimizer(model, preset.optimizer)
        if order["format"] == "bf16" and not has_native_bf16(self.device):
            raise TrainingError(
                "the devices of this run differ",
                f"rank 0 computes in bf16, which the device of rank {ranks.rank} cannot",
                "set training.precision to fp32",
            )
        self.stepper = Stepper(model, self.optimizer, preset, self.device, order["format"], ranks)

    def step(self, order: dict[str, Any]) -> None:
        """This rank's part of a step."""
        began = time.monotonic()
        batch = self._batches.batch(order["step"])
        self.stepper.step(batch, order["rate"], order["step"], order["place"])
        self.stepper.forward.stepped(time.monotonic() - began, order["left"])


def _corpus(preset: Preset, fingerprint: str, tokenizer_json: str) -> Corpus:
    """The corpus that rank 0 trains on: prepared on this machine already, or now.

    Raises:
        SlmTuiError: the text is missing here, or differs.
    """
    found = preparing.reopen(fingerprint)
    if found is not None:
        return found
    # A run that started from other weights uses their tokenizer instead of the preset's.
    tokenizer = from_json(tokenizer_json)
    plain = preparing.fingerprint(preset)
    if fingerprint not in (plain, preparing.fingerprint(preset, tokenizer)):
        where = preset.data.location or preset.data.kind
        raise TrainingError(
            "the text differs from that of rank 0",
            f"{where} on {_host()} is another one",
            "copy the text of the first machine to the same path on the others",
        )
    return preparing.prepare(preset, tokenizer=None if fingerprint == plain else tokenizer)


def _host() -> str:
    import socket

    return socket.gethostname()
