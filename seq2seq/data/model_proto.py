"""A SentencePiece model as the message that its bytes are, to be read and written piece by piece."""

from typing import Any

from sentencepiece import sentencepiece_model_pb2

# protobuf makes the class only when it is imported, so no type checker sees it
ModelProto: Any = sentencepiece_model_pb2.ModelProto  # type: ignore[attr-defined]


def model_of(proto: bytes) -> Any:
    """The message of some bytes; with `pieces`, `normalizer_spec` and `trainer_spec`."""
    return ModelProto.FromString(proto)


def type_of(proto: bytes) -> str:
    """How the model of some bytes cuts text: `bpe`, `unigram`, `char` or `word`."""
    spec = model_of(proto).trainer_spec
    return str(spec.ModelType.Name(spec.model_type)).lower()


def bytes_of(model: Any) -> bytes:
    """The bytes of a message, the same for the same content."""
    return model.SerializeToString(deterministic=True)
