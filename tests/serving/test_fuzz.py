"""Requests made up from the server's own description of itself get the answers that it describes, and break nothing."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from seq2seq.api import Model

SCHEMATHESIS = shutil.which("schemathesis")


@pytest.mark.skipif(SCHEMATHESIS is None, reason="put schemathesis, from an environment of its own, on the path")
def test_server_answers_as_it_describes_itself(run: Any, models: list[Model], tmp_path: Path) -> None:
    with run(models, bytes=1 << 24) as client:
        ask_all(client, tmp_path)


def ask_all(client: Any, folder: Path) -> None:
    address = f"http://127.0.0.1:{client.port}/openapi.json"
    # Valid by the description, and yet refused: a model that is not there, lists that do not fit.
    checks = ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    asked = [str(SCHEMATHESIS), "run", address, *checks, "--max-examples", "25", "--no-color"]
    done = subprocess.run(asked, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert client.ask("/health").json["status"] == "ok"
