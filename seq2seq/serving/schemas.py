"""What requests and answers look like; the OpenAPI description is made of this."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_BEAMS = 16


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

    model_config = ConfigDict(extra="forbid")

    model: Name = None
    tag: Text | None = Field(default=None, description="Stands before the source, of a model trained with tags.")


class Searching(Request):
    """How a translation is found."""

    search: Literal["beam", "greedy"] = Field(default="beam", description="How a translation is found.")
    beam_size: int = Field(default=5, ge=1, le=MOST_BEAMS, description="Hypotheses side by side; of search=beam.")
    n_best: int = Field(default=1, ge=1, le=MOST_BEAMS, description="How many of them to return, at most beam_size.")


class TranslateRequest(Searching):
    """Sentences to translate."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "She opens the door ."}, {"text": ["the wolf slept"], "n_best": 3}]}
    )

    text: Texts


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
