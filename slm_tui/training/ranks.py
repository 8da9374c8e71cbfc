"""The processes that train one run together, and what they tell each other.

Each has a rank; the one of rank 0 writes the run. Only tensors, and JSON in tensors of bytes, go
from one to another: nothing that is received is unpickled.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor

from slm_tui.errors import TrainingError

# Others wait for rank 0 while it evaluates, samples, saves or is paused. A process that dies is
# noticed at once: its connections close.
_PATIENCE = timedelta(days=30)
# Those of a lost machine do not, but within a step no rank waits long; the first may be compiled.
_STEP_PATIENCE = timedelta(minutes=30)
# NCCL does not notice. It is used only when all ranks have just agreed to use it.
_NCCL_PATIENCE = timedelta(minutes=10)
_ARRIVAL_SECONDS = 600.0
_LOOK_SECONDS = 0.05
_NAMING_SECONDS = 2.0
# Most orders fit into one message of this many bytes, with their length in front.
_MESSAGE, _LENGTH = 512, 8
_MOST = 2**28
_TEXT = 2048
_FAILED, _STOP = 1, 1 << 20
_WORD = "the process of rank"

Order = dict[str, Any]
# The ranks of the processes known to have ended, with their last words.
Dead = Callable[[], Mapping[int, str]]


class Ranks(Protocol):
    """What the trainer needs of the other processes."""

    @property
    def rank(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def local_count(self) -> int:
        """The number of these processes on this machine."""
        ...

    @property
    def stop_requested(self) -> bool:
        """Whether another process was asked to stop."""
        ...

    def place(self, device: torch.device) -> torch.device:
        """The device of this rank, where `device` is what the preset chooses."""
        ...

    def use(self, device: torch.device) -> None:
        """Prepare to exchange tensors on `device`, the one of this rank."""
        ...

    def sum_(self, tensor: Tensor) -> None:
        """Replace `tensor` by its sum over all ranks."""
        ...

    def broadcast_(self, tensor: Tensor) -> None:
        """Replace `tensor` by that of rank 0."""
        ...

    def settle(self, failed: bool, numbers: Sequence[float]) -> tuple[list[int], list[float]]:
        """The ranks that failed, and the sums of `numbers` over all ranks."""
        ...

    def exchange(self, text: str) -> list[str]:
        """The texts of all ranks, by rank."""
        ...

    def send(self, order: Order) -> None:
        """Send an order to all other ranks; only for rank 0."""
        ...

    def leave(self, reason: str = "") -> None:
        """Close the connections; `reason` tells the others why, if this process failed."""
        ...


class Alone:
    """A single process: nothing to do."""

    rank, count, local_count = 0, 1, 1
    stop_requested = False

    def place(self, device: torch.device) -> torch.device:
        return device

    def use(self, device: torch.device) -> None:
        return

    def sum_(self, tensor: Tensor) -> None:
        return

    def broadcast_(self, tensor: Tensor) -> None:
        return

    def settle(self, failed: bool, numbers: Sequence[float]) -> tuple[list[int], list[float]]:
        return [0] if failed else [], list(numbers)

    def exchange(self, text: str) -> list[str]:
        return [text]

    def send(self, order: Order) -> None:
        return

    def leave(self, reason: str = "") -> None:
        return


ALONE = Alone()


@dataclass(frozen=True)
class Position:
    """Which of the processes of a run this one is, and which of those on its machine."""

    rank: int
    count: int
    local_rank: int
    local_count: int


def position(environment: Mapping[str, str]) -> Position | None:
    """What `torchrun` says in the environment; `None` if this process trains alone.

    Raises:
        TrainingError: the variables contradict each other.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    usual = {"LOCAL_RANK": environment["RANK"], "LOCAL_WORLD_SIZE": environment["WORLD_SIZE"]}
    try:
        rank, count, local, locals_ = (int(environment.get(n, usual.get(n, ""))) for n in names)
    except ValueError:
        rank = count = local = locals_ = -1
    if not (0 <= rank < count and 0 <= local < locals_ <= count):
        values = ", ".join(f"{name}={environment.get(name, '')}" for name in names)
        raise TrainingError(
            "the processes of this run cannot be numbered",
            values,
            "start it with torchrun, or unset RANK and WORLD_SIZE",
        )
    return Position(rank, count, local, locals_) if count > 1 else None


def distributed() -> Any:
    """The module `torch.distributed`, which does not declare all that it exports."""
    import torch.distributed

    return torch.distributed


def torchrun_store() -> Any:
    """The store through which the processes that `torchrun` started find each other.

    Raises:
        TrainingError: it cannot be reached.
    """
    dist = distributed()
    try:
        store, _, _ = next(dist.rendezvous("env://", timeout=timedelta(seconds=_ARRIVAL_SECONDS)))
    except (RuntimeError, ValueError, OSError) as error:
        raise TrainingError(
            "the other processes of this run cannot be reached",
            _first(error),
            "check that the first machine runs and that MASTER_ADDR and MASTER_PORT name it",
        ) from None
    return store


def join(
    position: Position,
    store: Any,
    *,
    check: Callable[[], None] = lambda: None,
    dead: Dead | None = None,
) -> "Joined":
    """Meet the other processes of the run at `store`.

    Args:
        check: called while waiting for them; may raise.
        dead: what is known of processes that have ended.

    Raises:
        TrainingError: one of them does not arrive.
    """
    dist = distributed()
    own = dist.PrefixStore("slm-tui", store)
    try:
        if position.rank:
            own.set(f"here/{position.rank}", "")
            own.wait(["go"], timedelta(seconds=2 * _ARRIVAL_SECONDS))
        else:
            _wait_for(own, position.count, check, dead)
            own.set("go", "")
        return Joined(position, own, dead)
    except (RuntimeError, ValueError) as error:
        raise TrainingError(
            "the other processes of this run cannot be reached",
            _first(error),
            "see what they say, and check that the network lets them connect to each other",
        ) from None


def _wait_for(store: Any, count: int, check: Callable[[], None], dead: Dead | None) -> None:
    missing: Sequence[int] = range(1, count)
    end = time.monotonic() + _ARRIVAL_SECONDS
    while missing := [rank for rank in missing if not store.check([f"here/{rank}"])]:
        check()
        gone = dead() if dead is not None else {}
        for rank, words in gone.items():
            raise TrainingError(
                f"{_WORD} {rank} did not start",
                words or "it ended at once",
                "set training.devices to 1",
            )
        if time.monotonic() > end:
            raise TrainingError(
                f"{_WORD} {missing[0]} did not start",
                f"waited {_ARRIVAL_SECONDS / 60:.0f} minutes for it",
                "see what it says on its machine, and check the network between them",
            )
        time.sleep(_LOOK_SECONDS)


class Joined:
    """This process among `position.count`: gloo on CPUs and for orders, NCCL on NVIDIA GPUs.

    Every method may raise `TrainingError`: another process has ended.
    """

    def __init__(self, position: Position, store: Any, dead: Dead | None = None) -> None:
        self._dist = distributed()
        self._position = position
        self._store = store
        self._dead = dead
        self._device: torch.device | None = None
        self._group: Any = None
        self._is_open = True
        # Set, from any thread, to make rank 0 stop the run.
        self.wants_stop = False
        self.stop_requested = False
        self._dist.init_process_group(
            "gloo",
            store=self._dist.PrefixStore("group", store),
            rank=position.rank,
            world_size=position.count,
            timeout=_PATIENCE,
        )
        self._of_steps = self._dist.new_group(backend="gloo", timeout=_STEP_PATIENCE)

    @property
    def rank(self) -> int:
        return self._position.rank

    @property
    def count(self) -> int:
        return self._position.count

    @property
    def local_count(self) -> int:
        return self._position.local_count

    def place(self, device: torch.device) -> torch.device:
        """See `Ranks`.

        Raises:
            TrainingError: this machine has fewer GPUs than processes, or `device` is not enough.
        """
        if device.type == "cpu":
            return device
        if str(device) != "cuda":
            raise TrainingError(
                f"{self.count} processes cannot share {device}",
                "each needs a device of its own",
                "set training.device to cuda or cpu, or train in one process",
            )
        number = torch.cuda.device_count()
        if self._position.local_rank >= number:
            raise TrainingError(
                f"there are {self.local_count} processes on this machine, but {number} GPUs",
                "each process needs a GPU of its own",
                "start fewer processes here",
            )
        return torch.device("cuda", self._position.local_rank)

    def use(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.set_device(device)
            with self._reporting():
                self._group = self._dist.new_group(backend="nccl", timeout=_NCCL_PATIENCE)

    def sum_(self, tensor: Tensor) -> None:
        with self._reporting():
            group = self._group if tensor.device.type == "cuda" else self._of_steps
            self._dist.all_reduce(tensor, group=group)

    def broadcast_(self, tensor: Tensor) -> None:
        with self._reporting():
            group = self._group if tensor.device.type == "cuda" else None
            self._dist.broadcast(tensor, 0, group=group)

    def settle(self, failed: bool, numbers: Sequence[float]) -> tuple[list[int], list[float]]:
        if self._device is not None and self._device.type == "cuda":
            # A process that dies while its GPU computes must not leave others waiting in NCCL.
            torch.cuda.synchronize(self._device)
        flags = [0.0] * self.count
        flags[self.rank] = _FAILED * failed + _STOP * self.wants_stop
        both = torch.tensor([*flags, *numbers], dtype=torch.float64)
        self.sum_(both)
        sums = both.tolist()
        flags = sums[: self.count]
        self.stop_requested = any(flag >= _STOP for flag in flags)
        return [rank for rank, flag in enumerate(flags) if flag % _STOP], sums[self.count :]

    def exchange(self, text: str) -> list[str]:
        raw = text.encode()[:_TEXT]
        own = torch.zeros(_TEXT, dtype=torch.uint8)
        own[: len(raw)] = torch.tensor(list(raw), dtype=torch.uint8)
        everyone = [torch.zeros_like(own) for _ in range(self.count)]
        with self._reporting():
            self._dist.all_gather(everyone, own)
        return [bytes(one.tolist()).rstrip(b"\0").decode(errors="replace") for one in everyone]

    def send(self, order: Order) -> None:
        raw = json.dumps(order).encode()
        whole = len(raw).to_bytes(_LENGTH, "little") + raw
        first = whole[:_MESSAGE].ljust(_MESSAGE, b"\0")
        self.broadcast_(_bytes(first))
        if len(whole) > _MESSAGE:
            self.broadcast_(_bytes(whole[_MESSAGE:]))

    def receive(self) -> Order:
        """The next order of rank 0."""
        first = torch.zeros(_MESSAGE, dtype=torch.uint8)
        self.broadcast_(first)
        raw = bytes(first.numpy())
        length = int.from_bytes(raw[:_LENGTH], "little")
        raw = raw[_LENGTH : _LENGTH + length]
        if len(raw) < length <= _MOST:
            rest = torch.zeros(length - len(raw), dtype=torch.uint8)
            self.broadcast_(rest)
            raw += bytes(rest.numpy())
        order = json.loads(raw)
        assert isinstance(order, dict)
        return order

    def leave(self, reason: str = "") -> None:
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(RuntimeError):
            if reason:
                self._store.set(f"ended/{self.rank}", reason[:_TEXT])
        if reason and self._group is not None:
            # NCCL would wait for processes that have ended.
            with contextlib.suppress(RuntimeError):
                self._group.abort()
        with contextlib.suppress(RuntimeError, AssertionError, ValueError):
            self._dist.destroy_process_group()

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:
            raise self._lost() from None

    def _lost(self) -> TrainingError:
        rank, why = self._ended()
        who = f"{_WORD} {rank}" if rank is not None else "one of the other processes"
        return TrainingError(
            f"{who} (of {self.count}) ended",
            why or "it was killed, or the connection to it was lost",
            "resume the run, on any number of processes",
        )

    def _ended(self) -> tuple[int | None, str]:
        """The rank of a process that has ended, and the reason that it gave, as far as known."""
        others = [rank for rank in range(self.count) if rank != self.rank]
        end = time.monotonic() + _NAMING_SECONDS
        while True:
            for rank in others:
                with contextlib.suppress(RuntimeError):
                    if self._store.check([key := f"ended/{rank}"]):
                        return rank, self._store.get(key).decode(errors="replace")
            for rank, words in self._dead().items() if self._dead is not None else ():
                return rank, words
            can_wait = self._dead is not None or len(others) > 1
            if not can_wait or time.monotonic() > end:
                return (others[0] if len(others) == 1 else None), ""
            time.sleep(_LOOK_SECONDS)


def _bytes(raw: bytes) -> Tensor:
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Let gloo listen only where other machines cannot connect, unless the user chose an
    interface."""
    name, chosen = "GLOO_SOCKET_IFNAME", loopback()
    if name in os.environ or not chosen:
        yield
        return
    os.environ[name] = chosen
    try:
        yield
    finally:
        os.environ.pop(name, None)


def loopback() -> str:
    """The name of the loopback interface; empty if unknown."""
    import socket

    try:
        names = [name for _, name in socket.if_nameindex()]
    except (OSError, AttributeError):
        return ""
    return next((name for name in ("lo", "lo0") if name in names), "")
