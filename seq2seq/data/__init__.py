"""Sentence pairs from files, a hub or a grammar; SentencePiece ids; batches by a token budget."""
