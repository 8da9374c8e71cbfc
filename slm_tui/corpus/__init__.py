"""Text to tokens: sources, the built-in stories, tokenizers, prepared corpora, batches."""
