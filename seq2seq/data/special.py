"""The four special symbols of every vocabulary."""

UNK, PAD, BOS, EOS = 0, 1, 2, 3
SPECIAL = ("<unk>", "<pad>", "<s>", "</s>")
"""What those four are called; no piece of text is alike, as SentencePiece never joins a sign and a letter."""

# Inside a model a space stands in their names. So no text can be taken for them: there, a space is a `▁`.
MODEL_NAMES = tuple(name.replace(">", " >") for name in SPECIAL)
