"""The models to measure, as presets, and homes to train them in."""

import os
from pathlib import Path

from slm_tui.config.preset import Preset, parse

_NEVER = 10**9
# Vocabulary, n_embd, n_layer, n_head, block_size, micro_batch.
SIZES: dict[str, tuple[int, int, int, int, int, int]] = {
    "tiny": (512, 64, 2, 1, 64, 8),
    # The usual model of this size has 65 characters; 257 is the smallest BPE vocabulary.
    "nano": (257, 128, 4, 4, 64, 12),
    "larger": (512, 256, 4, 4, 128, 8),
    "d384": (257, 384, 6, 6, 256, 8),
    "16m": (50_257, 256, 4, 8, 128, 16),
}
# Shown in the app, and measured against the plain loop.
APP_SIZES = ("tiny", "nano", "larger")
ENGINE_SIZES = ("tiny", "nano", "d384", "16m")
# Long enough not to end during a measurement, short enough for the curve to move on the chart.
_STEPS = {"tiny": 40_000, "nano": 10_000, "larger": 4_000, "d384": 2_000, "16m": 2_000}
_GPT2_VOCABULARY = 50_257
TRAFFIC_SIZE = "tiny"
THREADS = 2


def preset(size: str) -> Preset:
    """A preset that trains and does nothing else: no evaluation, sample or checkpoint on the way.

    Raises:
        KeyError: there is no such size.
    """
    n_vocab, n_embd, n_layer, n_head, block_size, micro_batch = SIZES[size]
    tokenizer: dict[str, object] = {"kind": "gpt2"}
    if n_vocab != _GPT2_VOCABULARY:
        tokenizer = {"kind": "bpe", "vocab_size": n_vocab, "limit": {"documents": 500}}
    return parse(
        {
            "name": f"bench-{size}",
            "data": {"kind": "stories", "documents": 2000, "richness": "tiny"},
            "tokenizer": tokenizer,
            "model": {
                "kind": "gpt",
                "n_layer": n_layer,
                "n_head": n_head,
                "n_embd": n_embd,
                "block_size": block_size,
            },
            "training": {
                "max_steps": _STEPS[size],
                "micro_batch": micro_batch,
                "threads": THREADS,
                "evaluate_every": _NEVER,
                "evaluate_batches": 1,
                "sample_every": _NEVER,
                "checkpoint_every": _NEVER,
            },
        },
        f"bench-{size}",
    )


def make_home(directory: Path, *sizes: str) -> Path:
    """A home for the program with these presets as the user's own."""
    presets = directory / "config" / "presets"
    presets.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        (presets / f"bench-{size}.toml").write_text(preset(size).to_toml())
    return directory


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of the measured program: a plain terminal with colours, and its own home."""
    dropped = ("SSH_CONNECTION", "NO_COLOR", "TMUX", "COLUMNS", "LINES")
    variables = {key: value for key, value in os.environ.items() if key not in dropped}
    root = str(Path(__file__).resolve().parents[2])
    return variables | {
        "SLM_TUI_HOME": str(home),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONPATH": root,
        **more,
    }
