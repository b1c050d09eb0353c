"""From a trained model to text: search for the best target, and the translator that wraps it in tokenisation.

search.py        the searches, over `model.begin` and `model.step` alone
  greedy.py, beam.py
  interface.py   what they share; ended.py: what a beam has found
  rules.py       what may come next, and how likely: penalties, what is forced
  prefix.py      how a translation must begin; vocabulary.py: what pieces spell
requests.py      what a person asks of a translation, in pieces
alternatives.py  what else might come next
translator.py    lines in, lines out, in order; forced decoding to word links
"""
