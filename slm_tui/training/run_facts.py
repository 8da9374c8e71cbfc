"""Facts about a run for the log, the screens and `run.json`."""

import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches
from slm_tui.corpus.prepare import Corpus
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import count_parameters
from slm_tui.training.device import describe_device, slot_of
from slm_tui.training.stepper import Stepper

# Of a directory, each file may have one.
_NOTES = 3


def facts(
    preset: Preset,
    corpus: Corpus,
    model: LanguageModel,
    device: torch.device,
    threads: int,
    stepper: Stepper,
    batches: Batches,
    processes: int = 1,
) -> dict[str, object]:
    """Plain values by name."""
    counts = corpus.manifest["parts"]
    several = {"processes": processes} if processes > 1 else {}
    return {
        **several,
        "parameters": count_parameters(model),
        "n_vocab": corpus.tokenizer.n_vocab,
        "device": describe_device(device),
        "slot": slot_of(device),
        "threads": threads,
        "precision": stepper.format,
        "sequences_at_once": stepper.at_once,
        "torch": str(torch.__version__),
        "tokens_per_step": preset.tokens_per_step,
        "train_tokens": counts["train"]["tokens"],
        "val_tokens": counts["val"]["tokens"],
        "train_bytes_per_token": corpus.bytes_per_token("train"),
        "val_bytes_per_token": corpus.bytes_per_token("val"),
        "floor_bits_per_byte": corpus.floor,
        "windows_per_epoch": batches.windows,
        "corpus": corpus.fingerprint,
        "reading": corpus.reading,
        "text_notes": " · ".join(corpus.notes[:_NOTES]),
    }
