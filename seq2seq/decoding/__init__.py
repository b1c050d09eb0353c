"""From a trained model to text: search for the best target, and the translator that wraps it in tokenisation.

search.py      greedy and beam search over `model.begin` and `model.step` alone
ensemble.py    several models that search as one
scoring.py     how likely a model finds a given translation
mbr.py         minimum Bayes risk: of many candidates the one most like the others; utility.py: how alike
unknown.py     source words in the place of pieces that the vocabulary lacks
translator.py  lines in, lines out, in order; forced decoding to word links and scores
"""
