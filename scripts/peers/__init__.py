"""JoeyNMT 2.3 and eole 0.6: how each is told to train and to decode what is trained here."""
