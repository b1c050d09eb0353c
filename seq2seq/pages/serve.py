"""The live page of `seq2seq serve`, and the page that describes its HTTP API."""

from collections.abc import Sequence
from typing import Any

from seq2seq.pages import render_page

SCRIPTS = ("serve.js",)


def live_page(models: Sequence[str]) -> str:
    """Return the page on which a sentence is typed, as HTML; it asks the server that it came from, and nobody else.

    Args:
        models: names of those that can be chosen.
    """
    return render_page("seq2seq", {"models": list(models)}, scripts=SCRIPTS)


def description_page(openapi: dict[str, Any]) -> str:
    """Return what an OpenAPI description says, as HTML for people."""
    return render_page("seq2seq: HTTP API", openapi, scripts=("serve_docs.js",))
