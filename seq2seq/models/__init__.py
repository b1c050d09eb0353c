"""Encoders, decoders and the model that joins them. Any encoder goes with any decoder.

interface.py           EncoderOutput, DecoderState: what encoders, decoders, training and search hand each other
embedding.py           token embeddings, and what a Transformer takes in
recurrent.py           GRU and LSTM that run a sequence or a step; RecurrentEncoder
bottleneck.py          BottleneckDecoder, which never asks
bahdanau.py            BahdanauDecoder, which asks, then steps
luong.py               LuongDecoder, which steps, then asks
recurrent_decoders.py  what these three share
transformer.py         TransformerEncoder, TransformerDecoder
transformer_layers.py  what these two are made of
encoder_decoder.py     EncoderDecoder: source to features to logits of real target tokens
"""

from seq2seq.attention.positions import LearnedPositions, SinusoidalPositions  # where old checkpoints look for them
from seq2seq.models.bahdanau import BahdanauDecoder
from seq2seq.models.bottleneck import BottleneckDecoder
from seq2seq.models.encoder_decoder import EncoderDecoder
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.luong import LuongDecoder
from seq2seq.models.recurrent import GRU, LSTM, RecurrentEncoder
from seq2seq.models.transformer import TransformerDecoder, TransformerEncoder

__all__ = [
    "GRU",
    "LSTM",
    "BahdanauDecoder",
    "BottleneckDecoder",
    "DecoderState",
    "EncoderDecoder",
    "EncoderOutput",
    "LearnedPositions",
    "LuongDecoder",
    "RecurrentEncoder",
    "SinusoidalPositions",
    "TransformerDecoder",
    "TransformerEncoder",
]
