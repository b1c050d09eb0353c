"""The live page of `seq2seq serve`, and the page that describes its HTTP API."""

from collections.abc import Mapping
from typing import Any

from seq2seq.alignment.shares import LEAST, NOWHERE
from seq2seq.pages import render_page
from seq2seq.pages.visualize import viewer_script


def live_page(models: Mapping[str, bool]) -> str:
    """Return the page on which a sentence is typed, as HTML; it asks the server that it came from, and nobody else.

    Args:
        models: by the names of those that can be chosen, whether they have attention.
    """
    data = {
        "models": [{"name": name, "attention": attention} for name, attention in models.items()],
        "nowhere": {"label": NOWHERE, "least": LEAST},
    }
    scripts = ("serve_words.js", "serve.js")
    return render_page("seq2seq", data, scripts=scripts, libraries=[viewer_script()], asks=True)


def description_page(openapi: Mapping[str, Any]) -> str:
    """Return what an OpenAPI description says, as HTML for people."""
    return render_page("seq2seq: HTTP API", openapi, scripts=["serve_docs.js"])
