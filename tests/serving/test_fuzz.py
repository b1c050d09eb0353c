"""Requests made up from the server's own description of itself get the answers that it describes, and break nothing."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCHEMATHESIS = shutil.which("schemathesis")


@pytest.mark.skipif(SCHEMATHESIS is None, reason="put schemathesis, from an environment of its own, on the path")
def test_server_answers_as_it_describes_itself(client: Any, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{client.port}/openapi.json"
    asked = [str(SCHEMATHESIS), "run", address, "--checks", "all", "--max-examples", "40", "--no-color"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert client.ask("/health").json["status"] == "ok"
