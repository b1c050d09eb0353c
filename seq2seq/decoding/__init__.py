"""From a trained model to text: search for the best target, and the translator that wraps it in tokenisation.

search.py        the searches, over `model.begin` and `model.step` alone
  greedy.py, beam.py, diverse.py, sampling.py
  interface.py   what they share; stepwise.py: their settings and their loop
  hypotheses.py  a beam while it grows; ended.py: what it has found; streams.py: random numbers of a sentence
  rules.py       what may come next, and how likely: penalties, what is forced or forbidden
  prefix.py      how a translation must begin
  constraints.py what it must say and must not; constrained.py: a beam that does
  coverage.py    how much of the source was looked at
  vocabulary.py  what pieces spell
requests.py      what a person asks of a translation, in pieces
alternatives.py  what else might come next
ensemble.py      several models that search as one
mbr.py           minimum Bayes risk: of many candidates the one most like the others; utility.py: how alike
unknown.py       source words in the place of pieces that the vocabulary lacks
scoring.py       how likely a model finds a given translation
translator.py    lines in, lines out, in order; forced decoding to word links and scores
"""
