"""Misspelt overrides, made by a script that knows nothing of the checks: each is refused with a hint at what was meant.

The script makes 500 of them in two minutes; here are fewer, others at every seed.
"""

import importlib.util
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_overrides.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_overrides", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(2))
def test_misspelt_override_is_refused_with_the_key_and_a_near_valid_one(script: ModuleType, seed: int) -> None:
    for _, wrong in zip(range(12), script.slips(Random(seed)), strict=False):
        said = script.answer(wrong)
        assert script.fault(wrong, said) is None, f"{wrong}: {said}"


def test_the_script_would_see_a_fault(script: ModuleType) -> None:
    slip = script.Slip("word", [], "label=-anything", "no such")
    assert script.fault(slip, script.answer(slip)) == "accepted"
    slip = script.Slip("key", [], "sead=1", "seed")
    assert script.fault(slip, script.answer(slip)) is None
    assert script.fault(slip, "error: there is no key sead; did you mean model? (exit 1)") == "names nothing near"
    assert script.fault(slip, "error: one\ntwo (exit 1)") == "no single line"
    assert script.fault(slip, "error: no (exit 1)") == "does not name the key"
