"""Models as Hugging Face's transformers saves them, read and written without it.

folder.py      what a folder holds: JSON, SentencePiece models, weights, whole or in parts
layout.py      which parameter of ours is which of theirs
options.py     a configuration of theirs as overrides of ours, or why it cannot be
vocabulary.py  their vocabularies as tokenizers, and which row of their embeddings an id of ours is
importing.py   a folder to a checkpoint
"""
