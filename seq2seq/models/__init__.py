"""Encoders, decoders and the model that joins them. Any encoder goes with any decoder.

interface.py        EncoderOutput, DecoderState: what encoders, decoders, training and search hand each other
embedding.py        token embeddings, positions
recurrent.py        GRU and LSTM that run a sequence or a step; RecurrentEncoder
recurrent_decoders  BottleneckDecoder (no attention), BahdanauDecoder (attend, then step), LuongDecoder (step, then attend)
transformer.py      TransformerEncoder, TransformerDecoder
encoder_decoder.py  EncoderDecoder: source to features to logits of real target tokens
"""

from seq2seq.models.encoder_decoder import EncoderDecoder
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent import GRU, LSTM, RecurrentEncoder
from seq2seq.models.recurrent_decoders import BahdanauDecoder, BottleneckDecoder, LuongDecoder
from seq2seq.models.transformer import TransformerDecoder, TransformerEncoder

__all__ = [
    "GRU",
    "LSTM",
    "BahdanauDecoder",
    "BottleneckDecoder",
    "DecoderState",
    "EncoderDecoder",
    "EncoderOutput",
    "LuongDecoder",
    "RecurrentEncoder",
    "TransformerDecoder",
    "TransformerEncoder",
]
