"""From text to tokens: sources, built-in stories, tokenizers, prepared corpora, batches."""
