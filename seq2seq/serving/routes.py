"""What models are asked: the addresses that translate, align, score and look at attention."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from seq2seq.alignment.links import format_links
from seq2seq.data.text import one_line
from seq2seq.errors import UserError
from seq2seq.serving.batching import Task
from seq2seq.serving.inputs import lines_of, lines_to_translate, pieces_of, sentence
from seq2seq.serving.models import Served
from seq2seq.serving.schemas import (
    AlignAnswer,
    Alignment,
    Alternative,
    AlternativesAnswer,
    AlternativesRequest,
    AttentionAnswer,
    AttentionRequest,
    Hypothesis,
    LineTranslation,
    PairScore,
    PairsRequest,
    Problem,
    Request,
    ScoreAnswer,
    Token,
    TranslateAnswer,
    TranslateRequest,
)
from seq2seq.serving.searches import Search, asked_for
from seq2seq.serving.service import Service
from seq2seq.serving.tasks import Align, Alternatives, Attend, Beginning, Pair, Score, Translate

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body cannot be read."},
    413: {"model": Problem, "description": "Too many bytes, sentences, or pieces in a sentence."},
    422: {"model": Problem, "description": "A field is missing, unknown, or says what cannot be."},
    503: {
        "model": Problem,
        "description": "The queue is full, there are too many connections, or the server stops; "
        "Retry-After says when to ask again.",
    },
    504: {"model": Problem, "description": "It took too long."},
}


def add_translations(api: FastAPI, service: Service) -> None:
    """Add the addresses of whoever wants translations."""

    @api.post("/translate", responses=PROBLEMS, tags=["models"])
    async def translate(asked: TranslateRequest) -> TranslateAnswer:
        """Translate sentences. An empty one has an empty translation."""
        served = service.find(asked.model, asked.tag)
        search = asked_for(asked.search, asked.given)
        lines = lines_to_translate(served, asked, search(), most=service.limits.lines)
        free = asked.prefix is None and asked.constraints is None
        task = Translate(served, search, by_engine=served.engine is not None and search.plain and free)
        found = await service.ask(task, lines, pieces=sum(line.pieces for line in lines)) if lines else []
        answers = []
        for translations in found:
            hypotheses = [Hypothesis(text=t.text, score=t.score) for t in translations]
            answers.append(LineTranslation(**hypotheses[0].model_dump(), hypotheses=hypotheses))
        return TranslateAnswer(model=served.name, translations=answers)

    @api.post("/alternatives", responses=PROBLEMS, tags=["models"])
    async def alternatives(asked: AlternativesRequest) -> AlternativesAnswer:
        """Return the words that might come next in a translation, and how each would go on."""
        served = service.find(asked.model, asked.tag)
        beginning = Beginning(sentence(served, "source", asked.source), one_line(asked.prefix))
        pieces = asked.n * (len(beginning.source.ids) + pieces_of(served, "target", beginning.prefix))
        (found,) = await service.ask(Alternatives(served, Search("beam"), asked.n), [beginning], pieces=pieces)
        return AlternativesAnswer(model=served.name, alternatives=[Alternative(**one._asdict()) for one in found])


def add_pairs(api: FastAPI, service: Service) -> None:
    """Add the addresses of whoever has a source and a target, or wants to see one."""

    async def of_pairs(task: Task, served: Served, asked: PairsRequest) -> list[Any]:
        sources, targets = (lines_of(texts, most=service.limits.lines) for texts in (asked.source, asked.target))
        if len(sources) != len(targets):
            raise UserError(f"{len(sources)} sources and {len(targets)} targets; give a target for each source")
        sides = [("source", sources), ("target", targets)]
        pieces = sum(pieces_of(served, side, text) for side, texts in sides for text in texts)
        return await service.ask(task, list(zip(sources, targets, strict=True)), pieces=pieces) if sources else []

    @api.post("/align", responses=PROBLEMS, tags=["models"])
    async def align(asked: PairsRequest) -> AlignAnswer:
        """Link the words of sentence pairs, while the model is forced to say the target."""
        served = _with_attention(service, asked)
        found = await of_pairs(Align(served), served, asked)
        alignments = [Alignment(links=sorted(links), pharaoh=format_links(links)) for links in found]
        return AlignAnswer(model=served.name, alignments=alignments)

    @api.post("/score", responses=PROBLEMS, tags=["models"])
    async def score(asked: PairsRequest) -> ScoreAnswer:
        """Say how likely the model finds the target of each pair."""
        served = service.find(asked.model, asked.tag)
        scores = []
        for found in await of_pairs(Score(served), served, asked):
            tokens = [Token(piece=piece, log_probability=value) for piece, value in zip(*found, strict=True)]
            scores.append(PairScore(log_probability=found.log_probability, tokens=tokens))
        return ScoreAnswer(model=served.name, scores=scores)

    @api.post("/attention", responses={**PROBLEMS, 200: {"model": AttentionAnswer}}, tags=["models"])
    async def attention(asked: AttentionRequest) -> Response:
        """Return every attention while the model says a target: its own translations, or one that you give."""
        served = _with_attention(service, asked)
        source = sentence(served, "source", asked.source)
        target = None if asked.target is None else sentence(served, "target", asked.target)
        search = asked_for(asked.search, asked.given)
        pieces = (len(source.ids) + 1) * (search.n_best if target is None else 2)
        task = Attend(served, search, asked.readings, tuple(dict.fromkeys(asked.methods)))
        (answer,) = await service.ask(task, [Pair(source, target)], pieces=pieces)
        return Response(answer, media_type="application/json")


def _with_attention(service: Service, asked: Request) -> Served:
    """Return the model that a request names; refuse one without attention."""
    served = service.find(asked.model, asked.tag)
    if not served.attention:
        others = [other.name for other in service.models if other.attention]
        remedy = f"name {' or '.join(others)}" if others else "no model here has any"
        raise UserError(f"{served.name} has no attention; {remedy}")
    return served
