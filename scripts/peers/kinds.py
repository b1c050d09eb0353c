"""Kinds of search, as each program is asked for them."""

from typing import Any, NamedTuple

MAX_LENGTH = 256
MAX_RATIO = 3.0


class Kind(NamedTuple):
    """A kind of search: what each program is told beside what all kinds share; None: it has no such kind."""

    here: list[str]  # overrides of `seq2seq translate`
    ctranslate2: dict[str, Any] | None = None  # of `Translator.translate_batch`
    eole: dict[str, Any] | None = None  # of its `predict`
    joeynmt: dict[str, Any] | None = None  # of `testing` in its configuration
    begun: bool = False  # whether half of each reference is given as its beginning
    drawn: bool = False  # whether it differs from pass to pass


def kinds(beam: int) -> dict[str, Kind]:
    """Return all kinds by name, with so many hypotheses where a kind has several.

    Beams rank by the mean log-probability a token, which all but JoeyNMT have.
    """
    ours = ["search=beam", f"search.beam_size={beam}"]
    ours += ["search.length_penalty._target_=seq2seq.decoding.search.power_penalty", "search.length_penalty.alpha=1"]
    theirs, eole, joeynmt = {"beam_size": beam}, {"beam_size": beam}, {"beam_size": beam, "beam_alpha": 1.0}
    one = {"beam_size": 1}
    # eole's own `top_k=0` is a beam, and -1 is all tokens; CTranslate2's 0 is all tokens.
    return {
        "greedy": Kind(["search=greedy"], one, one | {"top_k": 1}, one),
        "beam": Kind(ours, theirs, eole, joeynmt),
        "nbest": Kind(
            [*ours, f"search.n_best={beam}"], theirs | {"num_hypotheses": beam}, eole | {"n_best": beam}, None
        ),
        "prefix": Kind(ours, theirs, eole | {"tgt_file_prefix": True}, begun=True),
        "coverage_penalty=0.2": Kind(
            [*ours, "search.coverage_penalty=0.2"],
            theirs | {"coverage_penalty": 0.2},
            eole | {"coverage_penalty": "wu", "beta": 0.2},
        ),
        "no_repeat_ngram=3": Kind(
            [*ours, "search.no_repeat_ngram=3"],
            theirs | {"no_repeat_ngram_size": 3},
            eole | {"block_ngram_repeat": 3},
            joeynmt | {"no_repeat_ngram_size": 3},
        ),
        "repetition_penalty=1.2": Kind(
            [*ours, "search.repetition_penalty=1.2"],
            theirs | {"repetition_penalty": 1.2},
            None,
            joeynmt | {"repetition_penalty": 1.2},
        ),
        "sample": Kind(["search=sample"], one | {"sampling_topk": 0}, one | {"top_k": -1}, drawn=True),
        "sample top_k=10": Kind(
            ["search=sample", "search.top_k=10"], one | {"sampling_topk": 10}, one | {"top_k": 10}, drawn=True
        ),
        "sample top_p=0.9": Kind(
            ["search=sample", "search.top_p=0.9"],
            one | {"sampling_topk": 0, "sampling_topp": 0.9},
            one | {"top_k": -1, "top_p": 0.9},
            drawn=True,
        ),
        "sample temperature=0.5": Kind(
            ["search=sample", "search.temperature=0.5"],
            one | {"sampling_topk": 0, "sampling_temperature": 0.5},
            one | {"top_k": -1, "temperature": 0.5},
            drawn=True,
        ),
        "diverse": Kind(["search=diverse"]),
        "mbr": Kind(["search=mbr"]),
    }
