"""A configuration of theirs as overrides of `seq2seq train`; what ours cannot be is refused by its key."""

from typing import Any, NamedTuple

from seq2seq.errors import UserError

MARIAN, M2M100 = "marian", "m2m_100"

IDS = ("decoder_start_token_id", "eos_token_id", "pad_token_id")
"""Keys that generation_config.json may say otherwise."""

SIDE_KEYS = {"num_layers": "layers", "num_heads": "attention_heads", "d_feedforward": "ffn_dim"}
"""Keys of a side of ours, and how theirs end."""

DEFAULTS: dict[str, Any] = {
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": True,
    "share_encoder_decoder_embeddings": True,
    "encoder_layers": 12,
    "decoder_layers": 12,
    "encoder_attention_heads": 16,
    "decoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
}
OWN_DEFAULTS: dict[Any, dict[str, Any]] = {
    MARIAN: {"activation_function": "gelu", "scale_embedding": False},
    M2M100: {"activation_function": "relu", "scale_embedding": True, "attention_dropout": 0.1},
}
"""What a key means that is not there: transformers may leave out what is its default."""

ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}

FIXED: dict[str, dict[str, Any]] = {
    MARIAN: {"normalize_before": False, "normalize_embedding": False, "add_final_layer_norm": False,
             "static_position_embeddings": True},
    M2M100: {"share_encoder_decoder_embeddings": True},
}  # fmt: skip
"""Keys, most of earlier versions of transformers, with the only value that a model of ours can have."""


class Model(NamedTuple):
    """What a configuration of theirs says."""

    kind: str  # MARIAN or M2M100
    keys: dict[str, Any]  # all of the configuration, with defaults where it has none
    generation: dict[str, Any]  # how its translations are searched for
    equal_tables: bool = False  # whether the embeddings of both sides are equal to the bit, of equal pieces

    @property
    def norm_first(self) -> bool:
        """Whether it is pre-norm, with a last norm."""
        return self.kind == M2M100

    @property
    def one_vocabulary(self) -> bool:
        """Whether source and target have one vocabulary."""
        return bool(self.keys["share_encoder_decoder_embeddings"])

    @property
    def tied(self) -> bool:
        """Whether source and target share embeddings.

        Their configuration shares nothing where `tie_word_embeddings` is off: a shared table is written twice then.
        """
        return self.equal_tables or (self.one_vocabulary and bool(self.keys["tie_word_embeddings"]))

    @property
    def overrides(self) -> list[str]:
        """What `seq2seq train` is told to make such a model, in short names."""
        keys = self.keys
        made = [
            "model=transformer",
            f"model.d_model={keys['d_model']}",
            f"model.dropout={keys['dropout']}",
            f"model.attention_dropout={keys['attention_dropout']}",
            f"model.tie_embeddings={_yaml(self.tied)}",
            f"model.tie_output={_yaml(keys['tie_word_embeddings'])}",
            "model.output_bias=true",
        ]
        for side in ("encoder", "decoder"):
            made += [f"{side}.{ours}={keys[f'{side}_{theirs}']}" for ours, theirs in SIDE_KEYS.items()]
            made += [
                f"{side}.feedforward_dropout={keys['activation_dropout']}",
                f"{side}.activation={ACTIVATIONS[keys['activation_function']]}",
                f"{side}.scale_embedding={_yaml(keys['scale_embedding'])}",
                f"{side}.norm_first={_yaml(self.norm_first)}",
            ]
        if self.kind == M2M100:  # its waves are others than ours: they become a table
            places = keys["max_position_embeddings"]
            made += [
                "positions=learned",
                *(f"{side}.positions.max_positions={places}" for side in ("encoder", "decoder")),
            ]
        return [*made, f"loader.max_length={keys['max_position_embeddings'] - 1}"]  # and the end of the sentence

    @property
    def search(self) -> list[str]:
        """What `seq2seq translate` is told to search as transformers does by this configuration."""
        beams, length = self.generation.get("num_beams"), self.generation.get("max_length")
        penalty = self.generation.get("length_penalty")
        if not isinstance(beams, int) or beams < 2:
            return ["search=greedy"]
        made = [f"search.beam_size={beams}", "search.length_penalty._target_=seq2seq.decoding.search.power_penalty"]
        made += [f"search.length_penalty.alpha={1.0 if penalty is None else penalty}", "search.max_ratio=100"]
        if self.generation.get("early_stopping") is not True:
            made.append("search.early_stopping=false")
        return made + ([f"search.max_length={length - 1}"] if isinstance(length, int) and length > 1 else [])


def read_model(config: dict[str, Any], generation: dict[str, Any], *, name: str) -> Model:
    """Return what `config.json` and `generation_config.json` say.

    Args:
        config: of the model.
        generation: of its search; older models have these keys in `config.json`.
        name: of the folder, for messages.

    Raises:
        UserError: it is another architecture, or a key is missing or has a value that our models cannot have.
    """
    kind = str(config.get("model_type"))
    if kind not in OWN_DEFAULTS:
        raise UserError(
            f"{name}: config.json has model_type={kind}, which is not known; known are {MARIAN} (all OPUS-MT models) "
            f"and {M2M100} (M2M100, NLLB)"
        )
    given = {key: value for key, value in (config | generation).items() if value is not None}
    own = {key: value for key, value in config.items() if value is not None}
    keys: dict[str, Any] = DEFAULTS | OWN_DEFAULTS[kind] | own
    keys |= {key: given[key] for key in IDS if key in given}
    for key in ("d_model", "vocab_size", *IDS):
        if key not in keys:
            raise UserError(f"{name}: config.json has no {key}; fetch it again")

    def refuse(key: str, why: str) -> None:
        raise UserError(f"{name}: config.json has {key}={keys[key]}, {why}")

    for key, value in FIXED[kind].items():
        if given.get(key, value) != value:
            keys[key] = given[key]
            refuse(key, f"but only {key}={_yaml(value)} can be imported")
    if keys["activation_function"] not in ACTIVATIONS:
        refuse("activation_function", f"which our feed-forward sublayers have not; known are {', '.join(ACTIVATIONS)}")
    numbers = ["d_model", "vocab_size", "max_position_embeddings"]
    numbers += [f"{side}_{end}" for side in ("encoder", "decoder") for end in SIDE_KEYS.values()]
    for key in numbers:
        if type(keys[key]) is not int or keys[key] < 1:
            refuse(key, "where a whole number above 0 is expected")
    for key in ("encoder_attention_heads", "decoder_attention_heads"):
        if keys["d_model"] % keys[key]:
            refuse(key, f"of which d_model={keys['d_model']} is no multiple")
    if keys["d_model"] % 2:
        refuse("d_model", "which is odd: sinusoidal positions need an even one")
    if isinstance(keys["eos_token_id"], list):
        if len(keys["eos_token_id"]) != 1:
            refuse("eos_token_id", "but a sentence can have one end alone")
        keys["eos_token_id"] = keys["eos_token_id"][0]
    for key in IDS:
        if type(keys[key]) is not int:
            refuse(key, "where the number of a piece is expected")
    return Model(kind, keys, given)


def _yaml(value: Any) -> str:
    return "null" if value is None else str(value).lower()
