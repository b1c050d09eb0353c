"""What requests and answers look like; the OpenAPI description is made of this."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue

from seq2seq.serving.searches import FIELDS, defaults_said

MOST_BEAMS = 16
MOST_PIECES = 256


def _text(value: str) -> str:
    """JSON can write half a character, which is no text."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("this is not text in UTF-8: half of a surrogate pair stands alone") from None
    return value


Text = Annotated[str, AfterValidator(_text)]
Texts = Annotated[Text | list[Text], Field(description="A sentence, or a list of them.")]
Name = Annotated[Text | None, Field(description="A name that /health lists. Without one: the first model.")]


class Request(BaseModel):
    """What every request may say. An unknown field is refused, so that a typo does not go unnoticed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Name = None
    tag: Text | None = Field(default=None, description="Stands before the source, of a model trained with tags.")


class Searching(Request):
    """How a translation is found; what is left out is as `configs/search` has it."""

    search: Literal["beam", "greedy", "diverse", "sample"] = Field(
        default="beam", description="How a translation is found."
    )
    n_best: Annotated[int, Field(ge=1, le=MOST_BEAMS)] | None = Field(
        default=None, description="How many translations of a sentence; no two are alike, so there may be fewer."
    )
    beam_size: Annotated[int, Field(ge=1, le=MOST_BEAMS)] | None = Field(
        default=None, description="Hypotheses side by side."
    )
    length_penalty: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] | None = Field(
        default=None, description="The larger, the longer the translations; 0: none."
    )
    groups: Annotated[int, Field(ge=1, le=MOST_BEAMS)] | None = Field(
        default=None, description="Groups that avoid each other's words; they share out the beam."
    )
    diversity: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = Field(
        default=None, description="How strongly groups avoid each other, in nats."
    )
    temperature: Annotated[float, Field(ge=0.01, le=10, allow_inf_nan=False)] | None = Field(
        default=None, description="Below 1: more certain; above 1: more varied."
    )
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="Draw from so many of the likeliest pieces; 0: all."
    )
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Draw from the likeliest pieces that have this share of the probability; 1: all."
    )
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] | None = Field(
        default=None, description="The same seed draws the same for the same request."
    )
    max_length: Annotated[int, Field(ge=1, le=MOST_PIECES)] | None = Field(
        default=None, description="Most pieces of a translation."
    )
    no_repeat_ngram: Annotated[int, Field(ge=0, le=16)] | None = Field(
        default=None, description="So many pieces never come twice in a translation; 0: off."
    )
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10, allow_inf_nan=False)] | None = Field(
        default=None, description="Power of the probability of pieces that came before; 1: none."
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe each field with its default for each search that has it."""
        schema = handler.resolve_ref_schema(handler(core))
        for field in FIELDS:
            schema["properties"][field]["description"] += f" {defaults_said(field)}"
        return schema

    @property
    def given(self) -> dict[str, Any]:
        """The fields of the search that have a value."""
        return {field: value for field in FIELDS if (value := getattr(self, field)) is not None}


class Constraints(BaseModel):
    """What a translation must say, and what it must not."""

    model_config = ConfigDict(extra="forbid", strict=True)

    require: list[Text | list[Text]] = Field(
        default=[], description="Texts, or lists of texts one of which is enough; of search=beam alone."
    )
    forbid: list[Text] = Field(default=[], description="Texts.")


class TranslateRequest(Searching):
    """Sentences to translate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "She opens the door ."},
                {"text": ["She opens the door .", "the wolf slept"], "n_best": 3},
                {"text": "She opens the door .", "search": "sample", "n_best": 3, "temperature": 0.7, "seed": 5},
                {"text": "She opens the door .", "prefix": "Sie m", "constraints": {"forbid": ["schlief"]}},
            ]
        }
    )

    text: Texts
    prefix: Texts | None = Field(
        default=None,
        description="What the translation begins with, one for each sentence. Its last word may be half a word, unless "
        "a space follows it; an empty text is nothing.",
    )
    constraints: Constraints | list[Constraints | None] | None = Field(
        default=None, description="What the translation must say and must not, one for each sentence."
    )


class Hypothesis(BaseModel):
    """A translation that search found."""

    text: str
    score: float = Field(description="Log-probability over the length penalty; the higher the better.")


class LineTranslation(Hypothesis):
    """The best translation of a sentence, and the n_best."""

    hypotheses: list[Hypothesis] = Field(description="Best first; the first is the translation itself.")


class TranslateAnswer(BaseModel):
    """A translation for each sentence, in order."""

    model: str
    translations: list[LineTranslation]


class PairsRequest(Request):
    """Sentence pairs; of two lists, a target for each source."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "She opens the door .", "target": "Sie macht die Tür auf ."}]}
    )

    source: Texts
    target: Texts


class Alignment(BaseModel):
    """The word links of a pair."""

    links: list[tuple[int, int]] = Field(description="Pairs of a source word and a target word, counted from 0.")
    pharaoh: str = Field(description="The same as `seq2seq align` writes it: `0-0 1-2`.")


class AlignAnswer(BaseModel):
    """The links of each pair, in order."""

    model: str
    alignments: list[Alignment]


class AttentionRequest(Searching):
    """A sentence to look at."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"source": "She opens the door .", "n_best": 3},
                {"source": "She opens the door .", "target": "Sie macht die Tür auf ."},
            ]
        }
    )

    source: Text
    target: Text | None = Field(default=None, description="What the model is forced to say. Without it: its own words.")
    readings: bool = Field(default=False, description="Whether cross-attention is read in every way.")
    methods: list[Literal["erasure", "gradient_x_input", "alti"]] = Field(
        default=[], description="What else says which words a word came from; of them, those that the model can have."
    )


class Token(BaseModel):
    """A piece of a target."""

    piece: str = Field(description="`▁` stands for the space before a word.")
    log_probability: float = Field(description="In nats, after the pieces before it.")


class PairScore(BaseModel):
    """How likely the model finds the target of a pair."""

    log_probability: float = Field(description="In nats, of the target and its end.")
    tokens: list[Token] = Field(description="The pieces of the target, and its end.")


class ScoreAnswer(BaseModel):
    """The score of each pair, in order."""

    model: str
    scores: list[PairScore]


class AlternativesRequest(Request):
    """The beginning of a translation."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"source": "She opens the door .", "prefix": "Sie macht die"}]}
    )

    source: Text
    prefix: Text = Field(default="", description="Its last word may be half a word, unless a space follows it.")
    n: int = Field(default=5, ge=1, le=MOST_BEAMS, description="How many alternatives.")


class Alternative(BaseModel):
    """A word that might come next."""

    text: str = Field(description="The word; empty: the translation ends here.")
    probability: float = Field(description="That it comes next.")
    translation: str = Field(description="The best that begins with the prefix and this word.")


class AlternativesAnswer(BaseModel):
    """The likeliest words after a beginning, the likeliest first."""

    model: str
    alternatives: list[Alternative]


class AttentionAnswer(BaseModel):
    """Every attention of the model while it says each target. Weights are whole numbers, `one` of which are 1."""

    source: str
    checkpoint: str = Field(description="Run, time, folder and file.")
    alignment: dict[str, Any] | None = Field(description="Which kind, layer and head aligns best on validation data.")
    statistics: dict[str, str] = Field(description="What the statistics of a map are called.")
    one: int
    nowhere: dict[str, Any]
    encoder: list[dict[str, Any]] = Field(description="Self-attention of the source: a map a layer.")
    targets: list[dict[str, Any]] = Field(
        description="Name, text, score, and a map for each layer of cross-attention and of self-attention. A map has "
        "`words` and `pieces`, each with the labels of its rows and columns, and `weights` (heads, rows, columns)."
    )


class Health(BaseModel):
    """Whether the server takes requests."""

    status: Literal["ok", "stopping"]
    models: list[str] = Field(description="Their names, the first of which is meant where a request names none.")
    waiting: int = Field(description="Sentences in the queue.")


class Problem(BaseModel):
    """What was wrong with a request, and what to do, in one line."""

    detail: str
