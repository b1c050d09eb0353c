"""A user's mistake: exactly one line that names it, a status that is not zero, and nothing half-written."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from seq2seq.build_checks import check_parts
from seq2seq.build_mixture import make_corpus
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand
from seq2seq.cli.keys.values import check_types
from seq2seq.options import compose_defaults
from tests.cli.conftest import QUICK_RISE

Command = Callable[..., Any]


def refused(said: Any, *parts: str) -> None:
    """Check that there is one line, and that it holds all parts."""
    assert said.status == 1
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    assert [part for part in parts if part not in said.err] == [], said.err


@pytest.fixture
def fails(command: Command, text: list[str], tmp_path: Path) -> Command:
    """`fails("seed=one")`: train with a mistake, and check that no run looks as if it had begun."""

    def run(*overrides: str) -> Any:
        said = command("train", *text, "hydra.run.dir=run", *overrides)
        assert [
            name for name in ("config.yaml", "checkpoints", "metrics.json") if (tmp_path / "run" / name).exists()
        ] == []
        return said

    return run


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("model.d_modle=3", "model.d_model?"),
        ("optimiser.lr=1", "optimizer.lr?"),
        ("trainer.max_epoch=1", "trainer.max_epochs?"),
        ("callbacks.early_stoping.patience=1", "callbacks.early_stopping.patience?"),
        ("modle=luong", "model?"),
        ("search=mbr", "no key search.max_length; did you mean search.candidates.max_length?"),  # which the text has
        ("batch_size=3", "there is no key batch_size"),
        ("hydra.run.x=1", "there is no key hydra.run.x; did you mean hydra.run.dir?"),
    ],
)
def test_misspelt_key_names_the_nearest(fails: Command, typed: str, meant: str) -> None:
    refused(fails(typed), typed.split("=")[0], meant)


def test_misspelt_key_of_the_last_part_alone_names_the_whole(fails: Command) -> None:
    refused(fails("label_smoothing=0"), "label_smoothing", "training.label_smoothing?")


@pytest.mark.parametrize(
    ("added", "key", "meant"),
    [
        ("+foo=1", "foo", "seq2seq train --help lists the keys"),
        ("+modle=1", "modle", "did you mean model?"),
        ("+label_smoothing=0", "label_smoothing", "did you mean training.label_smoothing?"),
        ("+training.label_smooting=0", "training.label_smooting", "did you mean training.label_smoothing?"),
        ("++training.foo=1", "training.foo", "did you mean training."),
        ("+training={foo:1}", "training.foo", "did you mean training."),
        ("+training.coverage.wait=1", "training.coverage.wait", "did you mean training.coverage.weight?"),
        ("+model.d_modle=3", "model.d_modle", "did you mean model.d_model?"),
        ("+noise.drops=0.5", "noise.drops", "did you mean noise.drop?"),
        ("+metrics.lower=true", "metrics.lower", "did you mean metrics.lowercase?"),
        ("+loader.max_len=5", "loader.max_len", "did you mean loader.max_length?"),
        ("+scheduler.intervall=step", "scheduler.intervall", "did you mean scheduler.interval?"),
        ("+seed.foo=1", "seed.foo", "seq2seq train --help lists the keys"),
        ("-m +noise.foo=1,2", "noise.foo", "did you mean noise."),
        ("+size=8 +other=${size}", "other", "did you mean"),
        ("variants=['+noise.foo=1']", "noise.foo", "did you mean noise."),
    ],
)
def test_added_key_that_nothing_reads_is_refused(fails: Command, added: str, key: str, meant: str) -> None:
    refused(fails(*added.split()), f"there is no key {key}; {meant}")


@pytest.mark.parametrize("added", ["+callbacks.mine=1", "+callbacks.mine.every=1", "+logger.mine={every:1}"])
def test_added_part_without_a_class_is_refused(fails: Command, added: str) -> None:
    refused(fails(added), ".mine: a part of your own needs a class: +", ".mine._target_=MODULE.CLASS")


def test_added_key_that_something_reads_is_taken() -> None:
    for added in (
        ["+size=8", "model.d_model=${size}"],
        ["+sizes.small=8", "model.d_model=${sizes.small}"],
        ["+model.size=8", "model.d_embedding=${.size}"],
        ["+callbacks.mine._target_=lightning.pytorch.callbacks.Timer", "+callbacks.mine.duration=00:00:01:00"],
        ["+optimizer.amsgrad=true"],  # its class says whether it knows it
        ["+hydra.job.env_set.A=b"],
    ):
        check_types("train", added)


@pytest.mark.parametrize("name", ["evaluate", "translate", "visualize", "compare", "aer"])
def test_added_key_of_other_commands_is_refused(command: Command, name: str) -> None:
    refused(command(name, "+foo=1"), f"there is no key foo; seq2seq {name} --help lists the keys")


@pytest.mark.parametrize("key", ["hydra.sweeper.params={seed: '1,2'}", "+hydra.sweeper.params.seed='1,2'"])
def test_values_of_a_sweep_are_not_said_by_its_own_key(fails: Command, key: str) -> None:
    for sweep in ([], ["--multirun"]):
        refused(fails(*sweep, key), f"{key}: values of a sweep are overrides themselves, such as --multirun seed=1,2")


def test_key_taken_away_that_a_run_needs_is_named(fails: Command) -> None:
    refused(fails("~training.compile"), "~training.compile: a run needs this key; leave it as it is")


@pytest.mark.parametrize("name", ["evaluate", "translate", "align"])
def test_misspelt_key_of_other_commands_names_the_nearest(command: Command, name: str) -> None:
    refused(command(name, "chekpoint=x"), "there is no key chekpoint", "checkpoint?")


@pytest.mark.parametrize(
    "typed, meant", [("model=luon", "luong"), ("score=aditive", "additive"), ("data=multi30", "multi30k")]
)
def test_misspelt_choice_names_the_nearest_and_all(fails: Command, typed: str, meant: str) -> None:
    refused(fails(typed), typed, f"did you mean {meant}?", "options: ")


@pytest.mark.parametrize("name", ["evaluate", "translate", "align"])
def test_missing_checkpoint_is_asked_for(command: Command, name: str) -> None:
    refused(command(name), "checkpoint is not given", "checkpoint=")


@pytest.mark.parametrize(
    "override, expected",
    [
        ("trainer.max_epochs=abc", "trainer.max_epochs=abc"),
        ("model.d_model=abc", "model.d_model=abc"),
        ("optimizer.lr=fast", "optimizer.lr=fast"),
        ("seed=one", "seed=one"),
        ("loader.tokens_per_batch=-1", "loader.tokens_per_batch"),
        ("loader.tokens_per_batch=0", "loader.tokens_per_batch"),
        ("model.dropout=2", "model.dropout=2: expected a share from 0 to below 1"),
        ("encoder.feedforward_dropout=1 model=transformer", "encoder.feedforward_dropout=1: expected a share"),
        ("training=null", "training=null: a run needs it; its keys are label_smoothing"),
        ("seed=4294967296", "seed=4294967296"),
        ("seed=null", "seed=null"),
        ("label=/../evil", "label=/../evil"),
        (f"label={'x' * 300}", "short label"),
        ("label=null", "label=None"),
        ("data=null", "data=null: there is no such choice; the options are grammar, hub"),
        ("data.train=null", "the data has no split train, only val, test"),
        ("tokenizer.vocab_size=9999999999", "tokenizer.vocab_size=9999999999 must be from 1 to 2,147,483,647"),
        ("++output=elsewhere", "output=elsewhere would move only some of the run's files"),
        ("++begin_with=nowhere.ckpt", "there is no checkpoint nowhere.ckpt"),
        ("++variants=['foo=1']", "there is no key foo"),
        ("variants=['label=-ä,b/c']", "label=-ä,b/c: a run is kept in a folder of its name"),
        (
            "callbacks.pinned=null callbacks.pinned.unit=words",
            "callbacks.pinned=null leaves out what this is",
        ),
        ("experiment=null debug=null seed=-1", "seed=-1: expected 0 or above"),
        ("optimizer.lr=nan", "optimizer.lr=nan: expected a finite number, 0 or above, such as"),
        ("links=null", "links=null: there is no such choice"),
        ("search=null", "search=null: there is no such choice"),
        ("loader.max_length=null", "loader.max_length=null: expected a value"),
        ("label=[1]", "label=[1]"),
        ("run_name=", "short label"),
        ("callbacks.best.filename=last", "callbacks.best.filename=last"),
        ("optimizer.betas=[0.9]", "optimizer.betas=[0.9]: expected two numbers"),
        ("variants=['resume=true']", "say resume=true beside variants"),
        (
            "+search.beam_size=3",
            "search.beam_size is no option of GreedySearch; leave it out, or take it away",
        ),
        ("+callbacks.ema={_target_:seq2seq.training.averaging.ExponentialMovingAverage,decay:2}", "below 1"),
        ("pinned=3", "pinned=3: expected a list"),
        ("pinned=[true]", "pinned: True is no sentence"),
        ("callbacks.pinned.every_head=cross", "every_head=cross: expected a list"),
        ("callbacks.pinned.every_head=null", "every_head=None: expected a list"),
        ("search=beam search.beam_size=0", "search.beam_size=0"),
        ("links.threshold=1.5", "links.threshold=1.5"),
        ("seed=-1", "-1"),
        ("search=beam search.length_penalty=null", "search.length_penalty=null: a run needs it; its keys are"),
        ("data.links_first_index=true", "data.links_first_index=True: expected a whole number, or null"),
        ("model.first_token=der", "model.first_token=der: expected a whole number, or null"),
        ("model.first_token=100000", "model.first_token=100000 is no piece of the target's vocabulary, which has"),
        ("callbacks.pinned.unit=letters", "letters"),
        ("hydra.job.chdir=true", "hydra.job.chdir=true: relative files would be looked for in the run's folder"),
        ("label=${x}", r"label=${x}: Interpolation key 'x' not found; ${...} stands for the value of a key: give"),
        ("data.train.source=a${nope:x}", r"data.train.source=a${nope:x}: "),
        ("data.train.source=a${", r"data.train.source=a${: "),
    ],
)
def test_value_out_of_range_is_named(fails: Command, override: str, expected: str) -> None:
    refused(fails(*override.split()), expected)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("data.temperature=nan", "data.temperature=nan: expected a finite number, above 0"),
        ("data.corpora.a.weight=inf", "data.corpora.a.weight=inf: expected a finite number, above 0"),
        ("data.corpora.a.weight=-1", "data.corpora.a.weight=-1: expected above 0"),
        ("data.corpora.a.weigth=1", "there is no key data.corpora.a.weigth; did you mean data.corpora.a.weight?"),
        ("data.corpora=text", "each to be set by itself: data.corpora.NAME=..."),
    ],
)
def test_value_of_a_mixture_is_named(command: Command, override: str, expected: str) -> None:
    corpora = [] if override.startswith("data.corpora=") else ["data.corpora.a=grammar"]
    refused(command("train", "data=mixture", *corpora, override), expected)


@pytest.mark.parametrize(
    ("typed", "away"),
    [
        (
            "experiment=wmt14_ende data=grammar model=luong search=greedy",
            "'~search.beam_size' '~search.length_penalty' '~encoder.num_heads' '~encoder.d_feedforward' "
            "'~encoder.feedforward_dropout' '~encoder.norm_first' '~decoder.num_heads' '~decoder.d_feedforward' "
            "'~decoder.feedforward_dropout' '~decoder.norm_first' '~data.path' '~data.name' '~data.source' "
            "'~data.target'",
        ),
        (
            "experiment=iwslt14_deen data=grammar",
            "'~data.path' '~data.name' '~data.revision' '~data.source' '~data.target'",
        ),
        ("experiment=multi30k_transformer_tiny data=mixture data.corpora.one=grammar", "'~data.form'"),
        ("experiment=multi30k_multilingual data=grammar", "'~data.corpora'"),
    ],
)
def test_what_an_experiment_has_for_another_choice_is_taken_away_at_once(
    command: Command, tmp_path: Path, typed: str, away: str
) -> None:
    tiny = ["trainer.precision=32-true", "model.d_model=16", "model.num_layers=1"]
    given = [*typed.split(), *tiny, f"hydra.run.dir={tmp_path / 'run'}"]
    said = command("train", *given)
    refused(said, f"take it away with {away}")
    config = compose_defaults("train", expand(quote([*given, *away.replace("'", "").split()]))[0])
    check_parts(config)
    make_corpus(config.data)
    instantiate(config.search)


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("model=bottleneck normalizer=sink", ("a bottleneck asks nothing", "normalizer", "normalizer=softmax")),
        ("model=bottleneck cross_pattern=local_p", ("a bottleneck asks nothing", "say cross_pattern=full")),
        ("model=bottleneck normalizer.temperature=2", ("a bottleneck asks nothing", "say normalizer=softmax")),
        ("decoder=bottleneck", ("a bottleneck asks nothing", "say score=none")),
        ("~score", ("score: a model needs it", "leave it as it is")),
        ("tokenizer=byte score=location", ("score.max_positions=256, but by loader.max_length", "set it to 601")),
        (
            "model=transformer positions=learned decoder.positions.max_positions=120 search.max_length=200",
            ("decoder.positions.max_positions=120, but by search.max_length", "200 tokens", "lower search.max_length"),
        ),
        ("model=transformer ~encoder.positions", ("~encoder.positions: ", "needs positions; leave it as it is")),
        ("+score.size=3", ("+score.size=3: Additive has no option size", "'~KEY.size'")),
        ("score=[dot]", ("score=[dot]: there is no such choice", "additive, concat")),
        ("model=transformer positions=[rotary,alibi]", ("positions=[rotary,alibi]: there is no such choice",)),
        (
            "tokenizer.joint=false",
            ("model.tie_embeddings=true needs one vocabulary; set tokenizer.joint=true, or model",),
        ),
        ("score.d_attention=1.5", ("score.d_attention=1.5: expected a whole number, or null",)),
        ("model=transformer num_key_heads=many", ("num_key_heads=many: expected a whole number, or null",)),
        ("model=transformer num_key_heads=3", ("num_heads=4 is not a multiple of num_key_heads=3",)),
        ("training.coverage=1", ("training.coverage=1: it has keys of its own", "training.coverage.weight")),
        ("training.coverage=null", ("training.coverage=null: a run needs it; its keys are weight",)),
        ("normalizer=topk normalizer.k=true", ("normalizer.k=True: expected a whole number, such as 4",)),
        (
            "score=uniform cross_pattern=fixed normalizer=monotonic",
            ("cross_pattern: Fixed", "Monotonic would move them"),
        ),
        ("model=transformer pattern=window pattern.width=1", ("no key pattern.width", "encoder.pattern.width?")),
        ("model=transformer pattern=window width=1", ("there is no key width", "encoder.pattern.width?")),
        ("model=transformer encoder.positions={base:3}", ("there is no key encoder.positions.base",)),
        ("model=luong decoder.gate=true", ("decoder.gate: decoder is recurrent here", "decoder=transformer")),
        ("position=rotary", ("there is no key position; did you mean positions?",)),
        ("positions=rotery", ("positions=rotery does not exist; did you mean rotary?",)),
        ("encoder._targt_=x", ("there is no key encoder._targt_; did you mean encoder._target_?",)),
        ("trainer.precision=32", ("trainer.precision=32 is not known; did you mean 32-true?",)),
        ("trainer.precision=bf16", ("trainer.precision=bf16 is not known; did you mean bf16-mixed?",)),
        ("patern=window", ("there is no key patern; did you mean pattern?",)),
        ("cross_pattern=localp", ("cross_pattern=localp does not exist; did you mean local_p?",)),
        ("-m model=transformer,luong positions=rotary", ("both sides are recurrent with model=luong",)),
        ("-m model=transformer positions=glob(z*)", ("positions=glob(z*): there is no such choice",)),
        ("-m score=glob(z*)", ("score=glob(z*): there is no such choice",)),
        ("-m model=transformer pattern=window,full encoder.pattern.width=1,2", ("not a key of all these runs",)),
    ],
)
def test_part_of_attention_that_means_nothing_is_refused_before_anything_is_made(
    fails: Command, tmp_path: Path, typed: str, parts: tuple[str, ...]
) -> None:
    refused(fails(*typed.split()), *parts)
    assert list(tmp_path.iterdir()) == []


def test_number_whose_default_is_below_0_may_be_of_either_sign(fails: Command) -> None:
    overrides = ["model=luong", "normalizer=monotonic"]
    check_types("train", [*overrides, "normalizer.initial_bias=-4"])
    check_types("train", [*overrides, "normalizer.initial_bias=2"])
    refused(fails("optimizer.lr=-1"), "optimizer.lr=-1: expected 0 or above")


@pytest.mark.parametrize("option", ["--hlp", "-x", "--overrides"])
@pytest.mark.parametrize("name", ["train", "evaluate", "compare"])
def test_unknown_option_is_named(command: Command, name: str, option: str) -> None:
    refused(command(name, option), f"{option}: there is no such option")


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_width_that_heads_do_not_divide_is_named(fails: Command, part: str) -> None:
    refused(fails("model=transformer", f"{part}.num_heads=3"), "16", "num_heads=3")


def test_score_that_needs_equal_sizes_names_them_and_the_remedy(fails: Command) -> None:
    said = fails("model=luong", "score=dot", "decoder.d_model=12")
    refused(said, "12", "16", "score=general")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
@pytest.mark.parametrize("trainer", ["gpu", "ddp", "fsdp"])
def test_gpu_where_there_is_none_is_named(fails: Command, trainer: str) -> None:
    refused(fails(f"trainer={trainer}"), "gpu")


def test_vocabulary_too_large_names_the_value_to_use(command: Command, fails: Command, text: list[str]) -> None:
    said = fails("tokenizer.vocab_size=5000")
    refused(said, "tokenizer.vocab_size=5000", "use tokenizer.vocab_size=")
    advised = said.err.split("use tokenizer.vocab_size=")[1].split()[0]
    steps = [
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=1",
        "trainer.limit_val_batches=1",
        "callbacks.pinned=null",
        "training.test_splits=[]",
    ]
    assert command("train", *text, *steps, f"tokenizer.vocab_size={advised}").status == 0


@pytest.mark.parametrize("split", ["train", "val"])
def test_files_of_unequal_length_are_named_with_their_lengths(
    fails: Command, text_folder: Path, tmp_path: Path, split: str
) -> None:
    whole, short = text_folder / f"{split}.target", tmp_path / "short.target"
    lines = whole.read_text().splitlines(keepends=True)
    short.write_text("".join(lines[:-1]))
    said = fails(f"data.{split}.target={short}")
    refused(said, f"{short} has {len(lines) - 1} lines", f"{split}.source has {len(lines)} lines")


def test_bytes_that_are_not_utf8_are_named_with_their_line(fails: Command, text_folder: Path, tmp_path: Path) -> None:
    lines = (text_folder / "train.target").read_bytes().splitlines(keepends=True)
    latin = tmp_path / "latin 1.target"
    latin.write_bytes(b"".join([*lines[:4], "Füße\n".encode("latin-1"), *lines[5:]]))
    refused(fails(f"data.train.target={latin}", "data.train.links=null"), f"{latin}:5", "UTF-8")


@pytest.mark.parametrize("split", ["train", "val"])
def test_empty_split_is_named(fails: Command, tmp_path: Path, split: str) -> None:
    empty = tmp_path / "nothing.txt"
    empty.write_text("")
    names = [f"data.{split}.source={empty}", f"data.{split}.target={empty}", f"data.{split}.links=null"]
    refused(fails(*names), str(empty), "empty")


@pytest.mark.parametrize("split", ["train", "val"])
def test_half_a_split_asks_for_the_other_file(fails: Command, split: str) -> None:
    refused(fails(f"data.{split}.target=null"), f"data.{split}.target")


def test_missing_file_names_the_nearest(fails: Command, text_folder: Path) -> None:
    said = fails(f"data.train.source={text_folder / 'trian.source'}")
    refused(said, "trian.source does not exist", "train.source?")


def test_missing_column_names_those_that_exist(command: Command, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("en\tde\na house\tein Haus\n")
    said = command("train", "data=table", "data.train=pairs.tsv", "data.val=pairs.tsv", "data.source_column=fr")
    refused(said, "pairs.tsv", "no column fr", "'en', 'de'", "source_column")


def checkpoint_that_is(kind: str, whole: str, folder: Path) -> Path:
    """Write a checkpoint that cannot be used, or none."""
    path = folder / f"{kind}.ckpt"
    content = Path(whole).read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "foreign":
        torch.save({"state_dict": {"weight": torch.zeros(2)}}, path)
    elif kind == "pickled":
        torch.save({"model": Path("x")}, path)
    elif kind == "zipped":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["truncated", "empty", "foreign", "pickled", "zipped", "folder", "absent"])
@pytest.mark.parametrize("name", ["translate", "evaluate", "align"])
def test_unusable_checkpoint_is_named_and_nothing_written(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path, name: str, kind: str
) -> None:
    path = checkpoint_that_is(kind, bahdanau.best, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    pair = [f"source={text_folder / 'val.source'}", f"target={text_folder / 'val.target'}"] if name == "align" else []
    refused(command(name, f"checkpoint={path}", *pair, "output=out", stdin=b"a\n"), str(path))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "key, expected",
    [("num_layers", "the weights do not fit"), ("d_model", "the weights do not fit")],
)
def test_checkpoint_whose_sizes_do_not_fit_its_weights_is_refused(
    command: Command, bahdanau: Any, tmp_path: Path, key: str, expected: str
) -> None:
    content = torch.load(bahdanau.best, weights_only=True)
    content["seq2seq"]["config"]["decoder"][key] += 2
    torch.save(content, tmp_path / "odd.ckpt")
    refused(command("translate", f"checkpoint={tmp_path / 'odd.ckpt'}", stdin=b"a\n"), "odd.ckpt", expected)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("decoder.of_tomorrow", 3, "unexpected keyword argument 'of_tomorrow'"),
        ("score.of_tomorrow", 3, "unexpected keyword argument 'of_tomorrow'"),
        ("encoder.d_model", "wide", "use another checkpoint, or the version that wrote it"),
        ("normalizer", {}, "not callable"),
    ],
)
def test_checkpoint_whose_configuration_makes_no_model_is_named(
    command: Command, bahdanau: Any, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    """As one of a newer version, with a key that this one does not know; it is nothing that the user has typed."""
    content = torch.load(bahdanau.best, weights_only=True)
    config = OmegaConf.create(content["seq2seq"]["config"])
    OmegaConf.update(config, key, value, merge=False, force_add=True)
    content["seq2seq"]["config"] = OmegaConf.to_container(config)
    torch.save(content, tmp_path / "new.ckpt")
    given = ["translate", f"checkpoint={tmp_path / 'new.ckpt'}"]
    refused(command(*given, stdin=b"a\n"), "new.ckpt: its configuration makes no model in this version", said)


def test_checkpoint_that_names_foreign_code_runs_none_of_it(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    content = torch.load(bahdanau.best, weights_only=True)
    content["seq2seq"]["config"]["encoder"] = {"_target_": "os.mkdir", "path": str(tmp_path / "made")}
    torch.save(content, tmp_path / "bad.ckpt")
    refused(command("translate", f"checkpoint={tmp_path / 'bad.ckpt'}", stdin=b"a\n"), "os.mkdir", "bad.ckpt")
    assert not (tmp_path / "made").exists()


def test_text_that_is_not_utf8_leaves_no_output(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command("translate", f"checkpoint={bahdanau.best}", "output=out", stdin=b"good\n\xe4\n")
    refused(said, "stdin:2", "UTF-8")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["no folder/out.txt", "."])
def test_output_that_cannot_be_written_is_named(command: Command, bahdanau: Any, output: str) -> None:
    refused(
        command("translate", f"checkpoint={bahdanau.best}", f"output={output}", stdin=b"a\n"), "cannot write", output
    )


def test_empty_name_is_no_place_to_write_or_to_read(command: Command, bahdanau: Any) -> None:
    refused(command("translate", f"checkpoint={bahdanau.best}", "output=", stdin=b"a\n"), "output= is empty")
    refused(command("translate", f"checkpoint={bahdanau.best}", "input="), "a file is given by an empty name")


def test_text_in_a_message_gives_a_terminal_no_command(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "prefix").write_text("\x1b[2J\rHund\n")
    said = command("translate", f"checkpoint={bahdanau.best}", "prefix=prefix", stdin=b"a\n")
    refused(said, r"prefix:1: the vocabulary has no pieces for \x1b[2J\rHund")


def test_missing_input_is_named(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    refused(command("translate", f"checkpoint={bahdanau.best}", "input=absent.txt", "output=out"), "absent.txt")
    assert list(tmp_path.iterdir()) == []


def test_more_hypotheses_than_beams_are_refused(command: Command, bahdanau: Any) -> None:
    said = command("translate", f"checkpoint={bahdanau.best}", "search.beam_size=2", "search.n_best=3", stdin=b"a\n")
    refused(said, "n_best=3", "beam_size=2")


def test_unknown_device_is_named(command: Command, bahdanau: Any) -> None:
    refused(
        command("translate", f"checkpoint={bahdanau.best}", "device=toaster", stdin=b"a\n"),
        "device=toaster",
        "no such kind",
    )


def test_unknown_split_names_those_that_exist(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    said = command("evaluate", f"checkpoint={bahdanau.best}", "split=tset", f"output={tmp_path}")
    refused(said, "tset", "train, val, test")
    assert list(tmp_path.iterdir()) == []


def test_files_to_align_must_be_equally_long(
    command: Command, bahdanau: Any, text_folder: Path, tmp_path: Path
) -> None:
    names = [f"source={text_folder / 'train.source'}", f"target={text_folder / 'val.target'}"]
    said = command("align", f"checkpoint={bahdanau.best}", *names, "output=out")
    refused(said, "train.source has 40 lines", "val.target has 10 lines")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("tokenizer.vocab_size=0", ("tokenizer.vocab_size=0", "must be from 1 to")),
        ("tokenizer.character_coverage=0.5", ("tokenizer.character_coverage=0.5", "0.98 to 1")),
        ("tokenizer.input_sentence_size=1", ("tokenizer.input_sentence_size=1", "0 (all lines)")),
        ("training.label_smoothing=2", ("training.label_smoothing=2", "below 1")),
        ("training.guided_alignment.weight=-1", ("training.guided_alignment.weight=-1", "above")),
        ("training.r_drop=-1", ("training.r_drop=-1", "above")),
        ("training.coverage.weight=-1", ("training.coverage.weight=-1", "above")),
        ("training.test_splits=[tets]", ("tets", "train, val, test")),
        ("training.test_splits=test", ("training.test_splits=test", "[test]")),
        ("pinned=[-1]", ("pinned", "-1")),
        ("pinned=[abc]", ("pinned", "abc")),
        ("seed=1,2", ("seed=1,2", "--multirun")),
    ],
)
def test_mistake_is_found_before_anything_is_trained(fails: Command, override: str, parts: tuple[str, ...]) -> None:
    refused(fails(override), *parts)


def test_mistake_in_a_test_file_is_found_before_anything_is_trained(fails: Command, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("nur eine Zeile\n")
    refused(fails(f"data.test.target={tmp_path / 'short'}"), "test.links:1")


def test_folder_of_another_run_is_refused_and_stays_as_it_was(command: Command, text: list[str], bahdanau: Any) -> None:
    before = {path: path.read_bytes() for path in bahdanau.folder.glob("*.*") if path.is_file()}
    said = command("train", *text, "seed=2", f"hydra.run.dir={bahdanau.folder}")
    refused(said, "holds another run", "resume=")
    assert not (bahdanau.folder / "error.txt").exists()  # it is the other run that failed
    for path, content in before.items():
        assert path.read_bytes() == content


def test_run_is_not_resumed_as_another_model(command: Command, text: list[str], bahdanau: Any) -> None:
    before = (bahdanau.folder / "config.yaml").read_text()
    for override, key in (("model=luong", "model"), ("seed=9", "seed"), ("optimizer.lr=0.1", "optimizer")):
        said = command("train", *text, *QUICK_RISE, override, f"resume={bahdanau.folder}")
        refused(said, "is not what that run", f": {key} ")
    assert (bahdanau.folder / "config.yaml").read_text() == before


@pytest.mark.parametrize("command_name", ["translate", "evaluate", "align", "visualize"])
@pytest.mark.parametrize("size", ["0", "-3", "abc"])
def test_size_that_is_no_size_is_refused(command: Command, bahdanau: Any, command_name: str, size: str) -> None:
    said = command(command_name, f"checkpoint={bahdanau.best}", f"loader.max_length={size}")
    refused(said, f"loader.max_length={size}", "above 0")


def test_file_without_its_key_is_explained(command: Command, bahdanau: Any) -> None:
    refused(command("translate", bahdanau.best), "expected key=value", f"checkpoint={bahdanau.best}")


def test_port_that_is_none_is_refused(command: Command, tmp_path: Path) -> None:
    refused(command("tensorboard", f"runs={tmp_path}", "port=99999999"), "port=99999999", "65535")


def test_evaluation_says_that_it_cut_lines(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    options = [f"checkpoint={bahdanau.best}", "loader.max_length=3", f"output={tmp_path}", "search=greedy"]
    said = command("evaluate", *options)
    assert said.status == 0 and "were cut" in said.err


def test_device_is_written_to_and_a_link_followed(command: Command, bahdanau: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    translate = ["translate", f"checkpoint={bahdanau.best}", "search=greedy"]
    assert command(*translate, f"output={tmp_path / 'link'}", stdin=b"the dog\n").status == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() != "old"
    assert command(*translate, "output=/dev/null", stdin=b"the dog\n").status == 0
    assert not Path("/dev/null").is_file()
