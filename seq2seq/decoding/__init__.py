"""From a trained model to text: search for the best target, and the translator that wraps it in tokenisation.

search.py      greedy and beam search over `model.begin` and `model.step` alone
translator.py  lines in, lines out, in order; forced decoding to word links
"""
