"""Which words made it say this: contributions of source words, and of the target words before, to each target word.

forced.py                the model as a function of the embeddings that it reads
method.py                what every method is: called with a `Forced` pair, it returns `Contributions`
erasure.py               Erasure: what the token loses when a word is erased                            any model
gradients.py             GradientTimesInput: the slope, times what was read                             any model
integrated_gradients.py  IntegratedGradients: slopes on the way from nothing, whose sum is known        any model
flow.py                  maps of layers, multiplied: what the next three share
rollout.py               Rollout: attention weights                                                     Transformers
value_zeroing.py         ValueZeroing: a layer's output without a token's value                         Transformers
alti.py                  Alti: how near a token's part of an output is to the whole (ALTI+)             Transformers
sentences.py             text to what is read and said, checked
explaining.py            `explain`, with the contrast of two words
runner_up.py             `explain_beside_runner_up`: every word beside the one that was next likeliest
explanation.py           Explanation: the result
faithfulness.py          what is lost without the words that rank highest, and with them alone
changes.py               what would be said, were attention elsewhere
table.py, figure.py      the result for the eye
"""

from seq2seq.attribution.alti import Alti
from seq2seq.attribution.erasure import Erasure
from seq2seq.attribution.explaining import explain
from seq2seq.attribution.explanation import Explanation
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.gradients import GradientTimesInput
from seq2seq.attribution.integrated_gradients import IntegratedGradients
from seq2seq.attribution.method import Contributions, Method
from seq2seq.attribution.rollout import Rollout
from seq2seq.attribution.runner_up import explain_beside_runner_up
from seq2seq.attribution.value_zeroing import ValueZeroing

__all__ = [
    "Alti",
    "Contributions",
    "Erasure",
    "Explanation",
    "Forced",
    "GradientTimesInput",
    "IntegratedGradients",
    "Method",
    "Rollout",
    "ValueZeroing",
    "explain",
    "explain_beside_runner_up",
]
