"""The addresses of the server, and what each answers."""

import re
from collections.abc import Callable
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

import seq2seq
from seq2seq.errors import UserError
from seq2seq.pages.serve import LiveModel, description_page, live_page
from seq2seq.serving.guard import App, Guard
from seq2seq.serving.inputs import TooMuch
from seq2seq.serving.mistakes import UNREADABLE, what_is_wrong
from seq2seq.serving.models import Served
from seq2seq.serving.routes import add_pairs, add_translations
from seq2seq.serving.schemas import Health
from seq2seq.serving.searches import FIELDS
from seq2seq.serving.service import Service

KEY = re.compile(rf"\bsearch\.(?=(?:{'|'.join(FIELDS)})\b)")
"""What stands before the name of a field where it is a key of a command."""


def create_app(service: Service, *, crowded: Callable[[], bool]) -> App:
    """Return the application: the addresses, and the guard around them, which is told whether to refuse all."""
    about = "Translations and attention of trained models. The live page is at `/`."
    api = FastAPI(title="seq2seq", version=seq2seq.__version__, description=about, docs_url=None, redoc_url=None)
    _add_errors(api)
    add_translations(api, service)
    add_pairs(api, service)
    _add_pages(api, service)
    paths = [str(route.path) for route in api.routes if hasattr(route, "path")]
    return Guard(
        api,
        limits=service.limits,
        measured=service.measurements,
        paths=paths,
        stopping=lambda: service.stopping,
        crowded=crowded,
    )


def _add_pages(api: FastAPI, service: Service) -> None:
    """Add what people and programs look at that watch the server."""
    live = live_page([_about(served) for served in service.models])

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
        # What was sent is not sent back: it may be no text that can be written.
        reason = what_is_wrong(error.errors(), error.body)
        return _problem(422, reason.encode("utf-8", "backslashreplace").decode())

    @api.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        detail = UNREADABLE if error.status_code == 400 else str(error.detail)
        return _problem(error.status_code, detail, error.headers)

    @api.exception_handler(TooMuch)
    async def too_much(_: Request, error: TooMuch) -> JSONResponse:
        return _problem(413, str(error))

    @api.exception_handler(UserError)
    async def mistaken(_: Request, error: UserError) -> JSONResponse:
        return _problem(422, KEY.sub("", str(error)))

    @api.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:  # which is raised again, and so logged
        return _problem(500, "the server failed; what it writes says why")


def _problem(status: int, detail: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


def _about(served: Served) -> LiveModel:
    return LiveModel(served.name, served.attention, served.model.tags)
