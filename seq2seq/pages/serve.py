"""The live page of `seq2seq serve`, and the page that describes its HTTP API."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seq2seq.alignment.shares import LEAST, NOWHERE
from seq2seq.pages import render_page
from seq2seq.pages.visualize import viewer_script


class LiveModel(NamedTuple):
    """What the page has to know of a model."""

    name: str
    attention: bool  # whether it has any
    tags: list[str]  # that may stand before a source


def live_page(models: Sequence[LiveModel]) -> str:
    """Return the page on which a sentence is typed, as HTML; it asks the server that it came from, and nobody else."""
    data = {
        "models": [model._asdict() for model in models],
        "nowhere": {"label": NOWHERE, "least": LEAST},
    }
    scripts = ("serve_words.js", "serve.js")
    return render_page("seq2seq", data, scripts=scripts, libraries=[viewer_script()], asks=True)


def description_page(openapi: Mapping[str, Any]) -> str:
    """Return what an OpenAPI description says, as HTML for people."""
    return render_page("seq2seq: HTTP API", openapi, scripts=["serve_docs.js"])
