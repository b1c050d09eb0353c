"""What a person types reaches the command unchanged."""

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from seq2seq.cli.keys.quoting import quote
from seq2seq.options import compose_defaults

PLAIN = [
    "two words.txt",
    "a, b.txt",
    "a,b",
    "a=b=c",
    "it's",
    "'a",
    'say "yes".txt',
    "draft (1).txt",
    "f(x)",
    "größe ß 日本.txt",
    "[1] notes",
    "{a} b",
    "50 % & more; #1 | <x>?",
    "a:b",
    "-a",
    "../x y/z",
]
BACKSLASHES = ["a\\b", "a\\\\b", "\\\\server\\share\\a b", "end\\", "end\\\\", "a\\'b", "a\\,b", "a\\ b", "\\"]
LOOKS_LIKE_MORE = [
    "${x}",
    "a ${oc.env:HOME}",
    "\\${x}",
    "\\\\${x}",
    "$HOME",
    "null",
    "true",
    "1",
    "1e3",
    "[x]",
    "{a}",
    '"q"',
]


@pytest.mark.parametrize("value", [*PLAIN, *BACKSLASHES, *LOOKS_LIKE_MORE])
def test_text_key_takes_any_text_as_it_is(value: str) -> None:
    config = compose_defaults("translate", quote([f"input={value}"], text_keys=("input",)))
    assert config.input == value


@pytest.mark.parametrize("value", [*PLAIN, *BACKSLASHES])
def test_value_that_is_text_to_hydra_reaches_any_key_as_it_is(value: str) -> None:
    config = compose_defaults("train", ["data=text", *quote([f"data.train.source={value}"])])
    assert config.data.train.source == value


@pytest.mark.parametrize("value", ["1e3", "007", "1_000", "nan", "true", "5"])
def test_name_of_a_file_that_looks_like_a_number_is_a_name(value: str) -> None:
    for key in ("begin_with", "label", "tokenizer.checkpoint", "data.train.source"):
        config = compose_defaults("train", ["data=text", *quote([f"{key}={value}"])])
        assert OmegaConf.select(config, key) == value
    assert quote(["data.train.source=1e3,2e3"], sweep=True) == ["data.train.source=1e3,2e3"]  # two runs


def test_values_that_are_not_text_keep_their_type() -> None:
    overrides = ["seed=7", "optimizer.lr=1e-3", "resume=true", "callbacks.ema=null", "training.test_splits=[val, test]"]
    config = compose_defaults("train", quote(overrides))
    assert (config.seed, config.optimizer.lr, config.resume, config.callbacks.ema) == (7, 0.001, True, None)
    assert config.training.test_splits == ["val", "test"]


def test_interpolation_works_where_a_key_is_not_text() -> None:
    assert compose_defaults("train", quote(["model.d_embedding=${model.d_model}"])).model.d_embedding == 128


def test_comma_means_one_run_each_only_in_a_sweep() -> None:
    assert quote(["seed=1,2"], sweep=True) == ["seed=1,2"]
    assert quote(["seed=1,2"]) == ["seed='1,2'"]
    assert quote(["model=bahdanau,luong"], sweep=True) == ["model=bahdanau,luong"]


def test_options_and_deletions_pass_through() -> None:
    overrides = ["--multirun", "-m", "~debug", "seed="]
    assert quote(overrides) == overrides


def test_added_key_is_a_text_key_too() -> None:
    assert compose_defaults("translate", quote(["+input=null"], text_keys=("input",))).input == "null"


def test_key_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigCompositionException, match="inptu"):
        compose_defaults("translate", quote(["inptu=x"]))


@pytest.mark.parametrize("key", ["hydra.run.dir", "output", "resume", "loader.cache_dir", "+data.train.source"])
def test_home_is_meant_where_a_value_begins_with_a_tilde(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/my self")
    for value, meant in (("~/a b", "/home/my self/a b"), ("~", "/home/my self"), ("a~/b", "a~/b")):
        (given,) = quote([f"{key}={value}"], text_keys=(key.lstrip("+"),))
        assert given == f"{key}='{meant}'"


@pytest.mark.parametrize("override", ["~callbacks.ema", "source=~/is a sentence", "label=~", "a=~nobody-here/x"])
def test_other_tildes_stay(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "~")
    assert quote([override], sentences=("source",))[0].replace("'", "") == override
