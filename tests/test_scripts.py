"""Every script says what it does."""

import ast
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from seq2seq.attention import Attention
from seq2seq.build import build_model
from seq2seq.checkpoint import MODEL_PREFIX
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS, Tokenizers
from seq2seq.options import compose_defaults

SCRIPTS = sorted((Path(__file__).parents[1] / "scripts").glob("*.py"))


class Learned(NamedTuple):
    """What a run came to."""

    seconds: float
    reached: bool


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_says_what_it_does(path: Path, script: Callable[..., Any]) -> None:
    status, out, err = script(path.name, "--help")
    assert status == 0, err
    documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert documented and documented.splitlines()[0] in " ".join(out.split())


@pytest.mark.parametrize("name", ["sound", "padding is seen", "causal mask off by one"])
def test_silent_bugs_of_masks_are_found(name: str) -> None:
    made = runpy.run_path(str(SCRIPTS[0].parent / "mask_bugs.py"))
    vocabulary: Any = range(23)
    model = build_model(compose_defaults("train", made["MODEL"]), Tokenizers(vocabulary, vocabulary)).eval()
    bug = made["BUGS"][name]
    for module in model.modules():
        if isinstance(module, Attention) and bug:
            module.register_forward_pre_hook(bug, with_kwargs=True)
    batch = collate([([5, 6, 7, 8, 9, 10], [5, 6, 7, 8, 9], 0), ([11, 12, 13], [14, 15, 16], 1)])
    layer = {"padding is seen": "encoder.layers.0", "causal mask off by one": "decoder.layers.0"}
    assert made["finding"](model, batch).startswith(layer.get(name, "nothing"))


def test_a_comparison_that_was_stopped_makes_no_run_again(tmp_path: Path) -> None:
    kept = runpy.run_path(str(SCRIPTS[0].parent / "peers" / "kept.py"))["Kept"]
    made = []

    def run() -> Learned:
        made.append("run")
        return Learned(1.5, True)

    for _ in range(2):  # two calls of the command
        both = kept(tmp_path / "results.jsonl", Learned)
        assert both.once({"model": "additive", "round": 1}, run) == Learned(1.5, True)
    both.once({"model": "additive", "round": 2}, run)
    kept(None, Learned).once({"model": "additive", "round": 1}, run)
    assert len(made) == 3


def test_kinds_of_search_run_in_both_programs_and_end_alike(
    script: Callable[..., Any], untrained: Callable[..., Path], tmp_path: Path
) -> None:
    lines = ["a man in a red hat", "a dog runs", "the man and the dog"]
    checkpoint = untrained(lines, "model=transformer", "model.num_layers=1", "model.output_bias=true", vocab_size=40)
    state = torch.load(checkpoint, weights_only=True)
    # All end at once, or after their beginning: what they say, tests of exports hold.
    state["state_dict"][f"{MODEL_PREFIX}output.bias"][EOS] = 100.0
    torch.save(state, checkpoint)
    text = tmp_path / "text"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ["--source", text, "--target", text, "--kinds", "greedy", "prefix", "--rounds", "1", "--threads", "1"]
    status, out, err = script("benchmark_decoding.py", "--checkpoint", checkpoint, *options)
    assert status == 0, err
    rows = [row.split(" | ") for row in out.splitlines() if "CTranslate2" in row]
    assert [(kind, differ) for kind, *_, differ in rows] == [("| greedy", "0 |"), ("| prefix", "0 |")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benchmark_start.py", "--rounds", "0"], "--rounds: 0: expected a whole number, 1 or more"),
        (["soak.py", "--steps", "-5"], "--steps: -5: expected a whole number, 1 or more"),
        (
            ["benchmark_steps.py", "--picture", "absent/a.png"],
            "absent/a.png cannot be written; give a file in",
        ),
        (["mask_bugs.py", "absent.ckpt", "--output", "a.jpeg"], "a.jpeg: a picture's name ends in .png, .svg, .pdf"),
        (["plot_scaling.py", ".", "absent/a.svg"], "absent/a.svg cannot be written"),
        (["mask_bugs.py", "absent.ckpt"], "error: there is no checkpoint absent.ckpt"),
        (["forced_by_clause.py", "absent.ckpt"], "error: there is no checkpoint absent.ckpt"),
        (["explained_figures.py", "--output", "kept"], "kept is a file; give a folder"),
        (["explained_figures.py", "--bahdanau", "absent"], "absent has no finished run; give a folder"),
        (["grammar_questions.py", "kept"], "kept is a file; give a folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistake_is_a_line_before_any_work(
    script: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept").write_text("")
    status, out, err = script(*arguments)
    assert status in (1, 2) and not out and message in err and [*tmp_path.iterdir()] == [tmp_path / "kept"]
