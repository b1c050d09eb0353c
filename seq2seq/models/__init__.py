"""Encoders, decoders and the model that joins them. Any encoder goes with any decoder.

interface.py        EncoderOutput, DecoderState: what encoders, decoders, training and search hand each other
embedding.py        token embeddings, and what a Transformer takes in
recurrent.py        GRU and LSTM that run a sequence or a step; RecurrentEncoder
recurrent_decoders  BottleneckDecoder (never asks), BahdanauDecoder (asks, steps), LuongDecoder (steps, asks)
transformer.py      TransformerEncoder, TransformerDecoder
encoder_decoder.py  EncoderDecoder: source to features to logits of real target tokens
"""

from seq2seq.attention.positions import LearnedPositions, SinusoidalPositions  # where old checkpoints look for them
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
    "LearnedPositions",
    "LuongDecoder",
    "RecurrentEncoder",
    "SinusoidalPositions",
    "TransformerDecoder",
    "TransformerEncoder",
]
