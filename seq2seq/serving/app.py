"""The addresses of the server, and what each answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

import seq2seq
from seq2seq.alignment.links import format_links
from seq2seq.api import Model
from seq2seq.data.text import one_line
from seq2seq.errors import UserError
from seq2seq.pages.serve import description_page, live_page
from seq2seq.serving.batching import Batcher, Full, Stopped, Task
from seq2seq.serving.guard import App, Guard, Limits, Measurements
from seq2seq.serving.inputs import TooMuch, lines_of, measured, sentence
from seq2seq.serving.models import Engine, Served, find, named
from seq2seq.serving.schemas import (
    AlignAnswer,
    Alignment,
    AlignRequest,
    Alternative,
    AlternativesAnswer,
    AlternativesRequest,
    AttentionAnswer,
    AttentionRequest,
    Health,
    Hypothesis,
    LineTranslation,
    Problem,
    Searching,
    TranslateAnswer,
    TranslateRequest,
)
from seq2seq.serving.tasks import Align, Alternatives, Attend, Beginning, Look, Search, Translate

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body cannot be read."},
    413: {"model": Problem, "description": "Too many bytes, sentences, or pieces in a sentence."},
    422: {"model": Problem, "description": "A field is missing, unknown, or says what cannot be."},
    503: {
        "model": Problem,
        "description": "The queue is full, or the server stops; Retry-After says when to ask again.",
    },
    504: {"model": Problem, "description": "It took too long."},
}
RETRY = {"Retry-After": "1"}


class Service:
    """Models, the queue before them, and what is counted.

    Args:
        models: at least one.
        engine: what translates in place of the first; None: the model itself.
        limits: of requests.
        tokens: pieces that go through a model together.
        wait: seconds that the first request of a batch waits for others.
    """

    def __init__(
        self, models: Sequence[Model], *, engine: Engine | None, limits: Limits, tokens: int, wait: float
    ) -> None:
        self.models = named(models)
        if engine is not None:
            self.models[0] = replace(self.models[0], engine=engine)
        self.limits = limits
        self.measurements = Measurements()
        self.batcher = Batcher(tokens=tokens, wait=wait, room=limits.waiting, observe=self.measurements.of_call)
        self.stopping = False

    @property
    def names(self) -> list[str]:
        """What the models are called."""
        return [served.name for served in self.models]

    async def ask(self, task: Task, items: Sequence[Any], *, pieces: int) -> list[Any]:
        """Return what a task makes of some items, when their turn has come."""
        if self.stopping:
            raise HTTPException(503, "the server stops; ask again in a moment", headers=RETRY)
        try:
            return await asyncio.wrap_future(self.batcher.submit(task, items, pieces=pieces))
        except Full:
            raise HTTPException(503, "too many sentences wait; ask again in a moment", headers=RETRY) from None
        except Stopped:
            raise HTTPException(503, "the server stops; ask again in a moment", headers=RETRY) from None


def create_app(service: Service) -> App:
    """Return the application: the addresses, and the guard around them."""
    about = "Translations and attention of trained models. The live page is at `/`."
    api = FastAPI(title="seq2seq", version=seq2seq.__version__, description=about, docs_url=None, redoc_url=None)
    _add_errors(api)
    _add_models(api, service)
    _add_pages(api, service)
    paths = [str(route.path) for route in api.routes if hasattr(route, "path")]
    return Guard(
        api, limits=service.limits, measured=service.measurements, paths=paths, stopping=lambda: service.stopping
    )


def _add_models(api: FastAPI, service: Service) -> None:
    """Add what models are asked."""

    @api.post("/translate", responses=PROBLEMS, tags=["models"])
    async def translate(asked: TranslateRequest) -> TranslateAnswer:
        """Translate sentences. An empty one has an empty translation."""
        served = find(service.models, asked.model)
        lines = [measured(served, "source", line) for line in lines_of(asked.text, most=service.limits.lines)]
        pieces = sum(line.pieces for line in lines)
        found = await service.ask(Translate(served, _search(asked)), lines, pieces=pieces) if lines else []
        answers = []
        for translations in found:
            hypotheses = [Hypothesis(text=t.text, score=t.score) for t in translations]
            answers.append(LineTranslation(**hypotheses[0].model_dump(), hypotheses=hypotheses))
        return TranslateAnswer(model=served.name, translations=answers)

    @api.post("/align", responses=PROBLEMS, tags=["models"])
    async def align(asked: AlignRequest) -> AlignAnswer:
        """Link the words of sentence pairs, while the model is forced to say the target."""
        served = _with_attention(find(service.models, asked.model))
        sources, targets = (lines_of(texts, most=service.limits.lines) for texts in (asked.source, asked.target))
        if len(sources) != len(targets):
            raise UserError(f"{len(sources)} sources and {len(targets)} targets; give a target for each source")
        sides = [("source", sources), ("target", targets)]
        pieces = sum(measured(served, side, text).pieces for side, texts in sides for text in texts)
        pairs = list(zip(sources, targets, strict=True))
        found = await service.ask(Align(served), pairs, pieces=pieces) if pairs else []
        alignments = [Alignment(links=sorted(links), pharaoh=format_links(links)) for links in found]
        return AlignAnswer(model=served.name, alignments=alignments)

    @api.post("/attention", responses={**PROBLEMS, 200: {"model": AttentionAnswer}}, tags=["models"])
    async def attention(asked: AttentionRequest) -> Response:
        """Return every attention while the model says a target: its own translations, or one that you give."""
        served = _with_attention(find(service.models, asked.model))
        source = sentence(served, "source", asked.source)
        target = None if asked.target is None else sentence(served, "target", asked.target)
        pieces = (len(source.ids) + 1) * (asked.n_best if target is None else 2)
        task = Attend(served, _search(asked))
        (answer,) = await service.ask(task, [Look(source, target)], pieces=pieces)
        return Response(answer, media_type="application/json")

    @api.post("/alternatives", responses=PROBLEMS, tags=["models"])
    async def alternatives(asked: AlternativesRequest) -> AlternativesAnswer:
        """Return the words that might come next in a translation, and how each would go on."""
        served = find(service.models, asked.model)
        beginning = Beginning(sentence(served, "source", asked.source), one_line(asked.prefix))
        pieces = asked.n * (len(beginning.source.ids) + measured(served, "target", beginning.prefix).pieces)
        (found,) = await service.ask(Alternatives(served, Search("beam", 5, 1), asked.n), [beginning], pieces=pieces)
        return AlternativesAnswer(model=served.name, alternatives=[Alternative(**one._asdict()) for one in found])


def _add_pages(api: FastAPI, service: Service) -> None:
    """Add what people and programs look at that watch the server."""
    live = live_page({one.name: one.model.checkpoint.alignment is not None for one in service.models})

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(live)

    @api.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(description_page(api.openapi()))

    @api.get("/health", tags=["server"], responses={503: {"model": Health, "description": "The server stops."}})
    async def health() -> JSONResponse:
        """Say whether the server takes requests, and name the models."""
        status: Literal["ok", "stopping"] = "stopping" if service.stopping else "ok"
        state = Health(status=status, models=service.names, waiting=service.batcher.waiting)
        return JSONResponse(state.model_dump(), 503 if service.stopping else 200)

    @api.get("/metrics", tags=["server"], response_class=Response)
    async def metrics() -> Response:
        """Return counters and histograms as Prometheus reads them."""
        service.measurements.waiting.set(service.batcher.waiting)
        return Response(generate_latest(service.measurements.registry), media_type=CONTENT_TYPE_LATEST)


def _add_errors(api: FastAPI) -> None:
    """Answer every mistake with a status and one line."""

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        # What was sent is not sent back: it may be no text that can be written.
        reason = f"{place}: {first['msg']}" if place else str(first["msg"])
        return _problem(422, reason.encode("utf-8", "backslashreplace").decode())

    @api.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, str(error.detail), error.headers)

    @api.exception_handler(TooMuch)
    async def too_much(_: Request, error: TooMuch) -> JSONResponse:
        return _problem(413, str(error))

    @api.exception_handler(UserError)
    async def mistaken(_: Request, error: UserError) -> JSONResponse:
        return _problem(422, str(error))


def _problem(status: int, detail: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _search(asked: Searching) -> Search:
    if asked.search == "greedy":
        return Search("greedy", 1, 1)
    if asked.n_best > asked.beam_size:
        raise UserError(f"n_best={asked.n_best} is more than beam_size={asked.beam_size}; raise beam_size")
    return Search("beam", asked.beam_size, asked.n_best)


def _with_attention(served: Served) -> Served:
    if served.model.checkpoint.alignment is None:
        raise UserError(f"{served.name} has no attention; name another model")
    return served
