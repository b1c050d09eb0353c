"""The check of everything that only a GPU shows, rehearsed on a CPU, beside stages that crash and that hang."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"

BAD = """
import os, time

def crash(setting, report):
    report.check("sums", False, "1 + 1 is 3")
    print("last words", flush=True)
    os.abort()

def hang(setting, report):
    report.row("Speed", {"model": "slow", "tokens/s": 1234.5})
    time.sleep(1000)
"""

# In one process with the real stages, since importing PyTorch and Lightning takes longer than all of them.
DRIVER = """
import sys
import gpu_check
real = list(gpu_check.STAGES)
gpu_check.GRACE = 0.5
gpu_check.STAGES |= {"crash": gpu_check.Plan("bad.crash", 60), "hang": gpu_check.Plan("bad.hang", 0.5)}
for name in real:
    gpu_check.STAGES[name] = gpu_check.STAGES[name]._replace(seconds=600)
sys.argv[1:] += ["--stages", ",".join(["crash", "hang", *real])]
sys.exit(gpu_check.main())
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any], str]:
    """Return the exit status, the JSON and the page of a rehearsal."""
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "bad.py").write_text(BAD)
    code = f"import sys; sys.path[:0] = [{str(SCRIPTS)!r}, {str(folder)!r}]\n{DRIVER}"
    options = ["--device", "cpu", "--minutes", "30", "--output", str(folder / "out")]
    done = subprocess.run([sys.executable, "-c", code, *options], cwd=folder, capture_output=True, text=True)
    assert (folder / "out" / "results.json").exists(), done.stderr
    page = (folder / "out" / "results.md").read_text(encoding="utf-8")
    return done.returncode, json.loads((folder / "out" / "results.json").read_text(encoding="utf-8")), page


def test_every_stage_is_rehearsed_and_its_checks_hold(found: tuple[int, dict[str, Any], str]) -> None:
    _, results, page = found
    stages = {stage["name"]: stage for stage in results["stages"]}
    assert list(stages) == [
        "crash", "hang", "commands", "agreement", "precision", "speed", "grammar", "recurrent", "decoding", "kernels",
        "resume", "multi30k", "compiled",
    ]  # fmt: skip
    for stage in list(stages.values())[2:]:
        assert stage["status"] == "done" and not stage["failed"] and stage["rows"], stage
    for title in ("Training speed", "Where the time goes", "Decoding, beam 5", "The embedded default", "Checks"):
        assert f"**{title}**" in page
    assert "| model | precision | attention | compiled | batch | tokens/s |" in page


def test_stage_that_crashes_or_hangs_keeps_its_rows_and_takes_no_other_with_it(
    found: tuple[int, dict[str, Any], str],
) -> None:
    status, results, page = found
    crash, hang = results["stages"][:2]
    assert status == 1
    assert crash["failed"] and crash["rows"][0]["ok"] is False and "last words" in crash["log"]
    assert "ended with status -6" in crash["log"]
    assert hang["failed"] and hang["seconds"] < 30 and "its time was over" in hang["log"]
    assert "in hang" in hang["log"]  # where it stood
    assert "| slow | 1,234 |" in page and "| sums | **NO** | 1 + 1 is 3 |" in page
