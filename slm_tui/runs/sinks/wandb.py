"""Weights & Biases: online if possible, otherwise offline files that can be synchronized later.

The environment variables of wandb apply unless the preset overrides them. Without a login or a
network it writes offline: it never prompts on the terminal and never waits for long.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import wandb

from slm_tui.config.preset import Preset
from slm_tui.corpus.sources import network
from slm_tui.runs.sinks.contract import keep_id, kept_id
from slm_tui.runs.store import Run
from slm_tui.training.events import Sampled, Started

_PROJECT = "slm-tui"
# Defaults, unless a wandb variable overrides them. In silent mode it cannot ask for a key.
_SETTINGS: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "login_timeout": 1.0,
    "init_timeout": 20.0,
    "finish_timeout": 20.0,
    # Seconds; a killed process loses what is newer than this.
    "x_transaction_log_flush_interval": 1.0,
}


class WeightsAndBiases:
    """One W&B run per run, even after resuming: its id is stored.

    W&B cannot rewind. Steps repeated after a crash are identical and are skipped; so are steps
    repeated at another learning rate after a loss that was not finite.

    Raises:
        wandb.Error: it cannot even write offline.
    """

    can_rewind = False

    def __init__(
        self,
        run: Run,
        preset: Preset,
        started: Started,
        warn: Callable[[str], None],
        stop: Callable[[], None],
    ) -> None:
        settings = _settings(stop)
        wandb.setup(settings)
        arguments: dict[str, Any] = {
            "project": preset.training.wandb_project or os.environ.get("WANDB_PROJECT", _PROJECT),
            "dir": os.environ.get("WANDB_DIR") or str(run.path),
            "id": _id(run.path / "wandb" / "id"),
            "resume": "allow",
            "name": os.environ.get("WANDB_NAME") or run.id,
            "config": {"preset": preset.to_dict(), "facts": dict(started.facts)},
            # A resumed run may have more steps, or another device.
            "allow_val_change": True,
            "reinit": "create_new",
            "settings": settings,
        }
        mode = _mode(preset)
        why = _why_not(mode)
        if not why:
            try:
                self._run = wandb.init(**{**arguments, "mode": mode})
                return
            except (wandb.Error, OSError) as error:
                if mode != "online":
                    raise
                why = str(error)
                # Its process still holds the id of a run that could not start.
                wandb.teardown(exit_code=1)
                wandb.setup(settings)
        warn(
            f"Weights & Biases writes offline: {' '.join(why.split())[:200]}; "
            f"upload later: wandb sync {run.path / 'wandb'}/offline-run-*"
        )
        self._run = wandb.init(**{**arguments, "mode": "offline"})

    def rewind(self, step: int) -> None:
        return

    def scalars(self, step: int, values: dict[str, float], when: float) -> None:
        self._run.log({**values}, step=step)

    def samples(self, step: int, samples: Sequence[Sampled], when: float) -> None:
        rows = [[one.prompt, one.text] for one in samples]
        self._run.log({"samples": wandb.Table(columns=["prompt", "text"], data=rows)}, step=step)

    def flush(self) -> None:
        # wandb writes in its own process, which outlives this one until everything is written.
        return

    def close(self, *, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def _settings(stop: Callable[[], None]) -> wandb.Settings:
    # Versions of wandb differ in their settings and reject unknown ones.
    names = set(wandb.Settings.model_fields)
    settings = {**_SETTINGS, "stop_fn": stop}
    return wandb.Settings(
        **{
            name: value
            for name, value in settings.items()
            if name in names and _variable(name) not in os.environ
        }
    )


def _variable(setting: str) -> str:
    """The environment variable of a wandb setting: those of `x_` have two underscores."""
    return "WANDB_" + (setting[1:] if setting.startswith("x_") else setting).upper()


def _mode(preset: Preset) -> str:
    """`online`, `offline` or `disabled`: from the preset, else from the environment."""
    if preset.training.wandb_mode != "auto":
        return preset.training.wandb_mode
    mode = os.environ.get("WANDB_MODE") or str(wandb.Settings().mode)
    return {"dryrun": "offline", "run": "online"}.get(mode, mode)


def _why_not(mode: str) -> str:
    """What prevents a run from being online; empty if nothing does or it need not be."""
    if mode != "online":
        return ""
    address = os.environ.get("WANDB_BASE_URL") or str(wandb.Settings().base_url)
    return "" if network.answers(address) else f"{address} cannot be reached"


def _id(path: Path) -> str:
    """The id of the run, created once; `WANDB_RUN_ID` sets that of a new run."""
    run_id = kept_id(path)
    if not run_id:
        run_id = os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        keep_id(path, run_id)
    return run_id
