"""What the chunks of a byte-level model begin with, over the text that it is scored on."""

from collections.abc import Callable, Sequence

from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.generation.chunks import ChunkStarts, chunk_starts, chunks
from slm_tui.models.base import LanguageModel

# Shares are certain to about half a percent with this much text.
_MOST_BYTES = 100_000
_LONGEST = 4096


def measure(
    model: LanguageModel,
    tokenizer: Tokenizer,
    documents: Sequence[bytes],
    check: Callable[[], None],
) -> list[ChunkStarts]:
    """One result for each stage that cuts, outermost first; none if the model does not, or if
    its tokens are not bytes.

    At most 100,000 bytes are read, and 4,096 of each document. `check` may raise to stop.
    """
    if not model.stages_that_cut or tokenizer.kind != "bytes":
        return []
    texts, all_begins = [], []
    total = 0
    for document in documents:
        if total >= _MOST_BYTES:
            break
        check()
        text = document[:_LONGEST]
        ids = tokenizer.encode(text.decode("utf-8", "replace"))
        cut = chunks(model, ids)
        if cut is None:
            continue
        texts.append(tokenizer.decode_bytes(ids))
        all_begins.append(cut.begins)
        total += len(text)
    return [
        chunk_starts(texts, [begins[stage] for begins in all_begins])
        for stage in range(model.stages_that_cut)
    ]
