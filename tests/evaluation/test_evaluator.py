"""Evaluation of two sentence pairs by a model that says what it was told to: every figure is computed by hand."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from datasets import Dataset
from torch import Tensor, nn

from seq2seq.alignment.words import argmax_links
from seq2seq.attention import Attention, Dot, Window
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.comparison.readings import _Reader
from seq2seq.data.batching import Batch, collate
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, WordPieces
from seq2seq.decoding.search import GreedySearch, Hypothesis
from seq2seq.errors import UserError
from seq2seq.evaluation import evaluator
from seq2seq.evaluation.evaluator import Evaluation, Evaluator, evaluate
from seq2seq.evaluation.mean_norms import MeanNorms
from seq2seq.models import EncoderDecoder
from seq2seq.reading import Reading

WORDS = ["<unk>", "<pad>", "<s>", "</s>", "a", "b", ".", "u", "v", "w", "x"]
VOCAB = len(WORDS)
OUTPUT_WEIGHTS = Reading(row="output", quantity="weights")
FIRST, SECOND = ("decoder.layers.0.cross_attention", "decoder.layers.1.cross_attention")

# Probabilities that the model gives to each target token and EOS, and its attention, EOS in the last row and column.
SAID = {"u v": [0.5, 0.25, 0.5], "w": [0.125, 0.5]}
CROSSED = {"u v": [[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.0, 0.0, 1.0]], "w": [[0.05, 0.95], [0.5, 0.5]]}
STRAIGHT = {"u v": [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.0, 1.0]], "w": [[0.4, 0.6], [0.5, 0.5]]}
PAIRS = [("a b", "u v", "0-0 1-1", "short plain"), (".", "w", "0-0", "short")]


class WordTokenizer:
    """A piece a word."""

    normalization = "nfc"

    def __len__(self) -> int:
        return VOCAB

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [WORDS[i] for i in ids]

    def word_of_piece(self, text: str) -> WordPieces:
        return WordPieces([WORDS.index(word) for word in text.split()], list(range(len(text.split()))))

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(WORDS[i] for i in ids)


class Told(nn.Module):
    """Says the probabilities of `SAID`, and attends by the layers' weights; row i belongs to target_input's row i."""

    def __init__(self, *layers: dict[str, list[list[float]]]) -> None:
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(1))
        self.weights = layers
        self.output = nn.Identity()
        self.modes: list[bool] = []
        self.first_token = None
        self.decoder = nn.Module()
        self.decoder.layers = nn.ModuleList()
        for _ in layers:
            layer = nn.Module()
            layer.self_attention, layer.cross_attention = (Attention(Dot(7, 7)) for _ in range(2))
            self.decoder.layers.append(layer)

    def features(self, source: Tensor, _: Tensor, __: Tensor, target_input: Tensor, target_indices: Tensor) -> Tensor:
        self.modes.append(self.training)
        targets = [" ".join(WORDS[i] for i in row if i > 3) for row in target_input.tolist()]
        for layer, told in zip(cast(Any, self.decoder.layers), self.weights, strict=True):
            logits = torch.full((*target_input.shape, source.shape[1]), -50.0)
            for i, target in enumerate(targets):
                found = torch.tensor(told[target])
                logits[i, : found.shape[0], : found.shape[1]] = found.log().clamp(min=-50.0)
            keys = torch.eye(source.shape[1]).expand(len(source), -1, -1)
            layer.cross_attention(logits, layer.cross_attention.memory(keys, keys))
            layer.self_attention(logits, layer.self_attention.memory(keys, keys))
        rows = [
            self.said(token, probability)
            for target in targets
            for token, probability in zip([*target.split(), "</s>"], SAID[target], strict=True)
        ]
        assert len(rows) == len(target_indices)
        return torch.stack(rows)

    @staticmethod
    def said(token: str, probability: float) -> Tensor:
        """Return logits that give a token its probability, and all the rest to "x"."""
        probabilities = torch.zeros(VOCAB)
        probabilities[WORDS.index(token)] = probability
        probabilities[WORDS.index("x")] = 1 - probability - 1e-6
        return probabilities.log().clamp(min=-50.0) + 3.0  # logits need no norm


def search(_: Any, source: Tensor, __: Tensor, ___: Tensor, **options: Any) -> list[list[Hypothesis]]:
    """Find "u v" for "a b", and "x" for all else."""
    found = {WORDS.index("a"): [WORDS.index("u"), WORDS.index("v")]}
    return [[Hypothesis(found.get(row[0], [WORDS.index("x")]), -1.0, -1.0)] for row in source.tolist()]


def make_rows(links: bool = True) -> list[dict[str, Any]]:
    encode = WordTokenizer().word_of_piece
    return [
        {
            "source": source, "target": target, "links": gold if links else "", "tags": tags,
            "source_ids": encode(source).ids, "target_ids": encode(target).ids,
        }
        for source, target, gold, tags in PAIRS
    ]  # fmt: skip


def make_evaluator(
    *, links: bool = True, alignment: AlignmentChoice | None = None, readings: Sequence[Reading] = (OUTPUT_WEIGHTS,)
) -> Evaluator:
    tokenizer = cast(Tokenizer, WordTokenizer())
    return Evaluator(
        Dataset.from_list(make_rows(links)), Tokenizers(tokenizer, tokenizer), cast(GreedySearch, search),
        extraction=argmax_links, tokenize="none", lowercase=False, readings=readings, alignment=alignment,
    )  # fmt: skip


def make_batch(*indices: int) -> Batch:
    rows = make_rows()
    return collate([(rows[i]["source_ids"], rows[i]["target_ids"], i) for i in indices])


def run(*layers: dict[str, list[list[float]]], batches: Sequence[Sequence[int]] = ((0, 1),), **options: Any) -> Any:
    """Return the evaluation of a model with these layers, and with one self-attention below each."""
    model = cast(EncoderDecoder, Told(*layers))
    evaluator = make_evaluator(**options)
    for indices in batches:
        evaluator.update(model, make_batch(*indices))
    return evaluator.compute()


@pytest.mark.parametrize("batches", [((0, 1),), ((1, 0),), ((1,), (0,))], ids=["together", "turned", "apart"])
def test_loss_perplexity_and_accuracy_count_each_real_token_once(batches: Sequence[Sequence[int]]) -> None:
    evaluation: Evaluation = run(CROSSED, STRAIGHT, batches=batches)
    metrics = evaluation.metrics
    # 1 + 2 + 1 bits, and 3 + 1, for five tokens; those of one bit are as probable as all others together, and "x" less.
    assert metrics["loss"] == pytest.approx(8 / 5 * math.log(2), rel=1e-4)
    assert metrics["perplexity"] == pytest.approx(2 ** (8 / 5), rel=1e-4)
    assert metrics["token_accuracy"] == pytest.approx(3 / 5)
    assert evaluation.hypotheses == ["u v", "x"]


def test_translation_scores_are_of_hypotheses_against_references() -> None:
    evaluation = run(STRAIGHT)
    # Without higher n-grams than bigrams in three tokens, BLEU is 0 or smoothed; chrF is between none and all.
    assert 0 <= evaluation.metrics["bleu"] < 100 and 0 < evaluation.metrics["chrf"] < 100
    assert "tok:none" in evaluation.signatures["bleu"]
    assert "ter" not in evaluation.metrics


def test_layer_with_the_least_alignment_error_is_chosen() -> None:
    evaluation = run(CROSSED, STRAIGHT)
    assert evaluation.alignment == AlignmentChoice(SECOND, None)
    # Links 0-0 and 1-1, and none for "w", whose heaviest column is EOS; three are gold: 1 - (2 + 2) / (2 + 3).
    assert evaluation.metrics["aer"] == pytest.approx(0.2)
    assert evaluation.metrics["alignment_precision"] == pytest.approx(1.0)
    assert evaluation.metrics["alignment_recall"] == pytest.approx(2 / 3)
    # The first layer's two links are both wrong.
    assert evaluation.metrics["aer_by_layer/layer0"] == pytest.approx(1.0)
    assert evaluation.metrics["aer_by_layer/layer1"] == pytest.approx(0.2)
    assert evaluation.metrics["aer_diagonal"] == pytest.approx(0.0)


def test_one_layer_is_chosen_without_a_table_of_layers() -> None:
    evaluation = run(CROSSED)
    assert evaluation.alignment == AlignmentChoice(FIRST, None)
    assert evaluation.metrics["aer"] == pytest.approx(1.0)
    assert not any(name.startswith("aer_by_layer") for name in evaluation.metrics)


def test_entropy_and_sink_mass_are_of_the_chosen_layer() -> None:
    def entropy(*weights: float) -> float:
        return -sum(weight * math.log(weight) for weight in weights)

    metrics = run(CROSSED, STRAIGHT).metrics
    first = (entropy(0.8, 0.1, 0.1) + entropy(0.2, 0.7, 0.1) + 0) / 3
    second = (entropy(0.4, 0.6) + entropy(0.5, 0.5)) / 2
    assert metrics["entropy"] == pytest.approx((3 * first + 2 * second) / 5, rel=1e-4)
    # EOS of the first sentence; of the second also its full stop, which is all of it.
    assert metrics["sink_mass"] == pytest.approx((0.1 + 0.1 + 1.0 + 2 * 1.0) / 5, rel=1e-4)


def test_every_head_has_its_statistics_and_cross_attention_its_alignment() -> None:
    evaluation = run(CROSSED, STRAIGHT)
    rows = {row["name"]: row for row in evaluation.heads}
    assert rows.keys() == {FIRST, SECOND, *(name.replace("cross", "self") for name in (FIRST, SECOND))}
    assert [rows[name]["aer"] for name in (FIRST, SECOND)] == [pytest.approx(1.0), pytest.approx(0.2)]
    assert rows[SECOND]["precision"] == 1 and rows[SECOND]["recall"] == pytest.approx(2 / 3)
    assert (rows[SECOND]["kind"], rows[SECOND]["layer"], rows[SECOND]["head"]) == ("cross", 1, None)
    # Rows of two and of one word: on the diagonal 0.8, 0.7, 1.0, and 0.4, 0.5.
    assert rows[SECOND]["diagonal"] == pytest.approx((0.8 + 0.7 + 1.0 + 0.4 + 0.5) / 5, rel=1e-4)
    assert "aer" not in rows[FIRST.replace("cross", "self")]


def test_normalized_entropy_of_a_window_is_over_what_it_shows() -> None:
    def entropy(*weights: float) -> float:
        return -sum(weight * math.log(weight) for weight in weights)

    model = Told(STRAIGHT)
    cast(Any, model.decoder.layers)[0].cross_attention = Attention(Dot(7, 7), pattern=Window(7, width=1))
    evaluation = evaluate(cast(EncoderDecoder, model), [make_batch(0, 1)], make_evaluator())
    row = next(row for row in evaluation.heads if row["name"] == FIRST)
    # The first word sees two of three keys, the second all of them; the last looks at one alone.
    first, second = entropy(8 / 9, 1 / 9) / math.log(2), entropy(0.2, 0.7, 0.1) / math.log(3)
    others = (entropy(0.4, 0.6) + entropy(0.5, 0.5)) / math.log(2)
    assert row["normalized_entropy"] == pytest.approx((first + second + others) / 5, rel=1e-4)


def test_sentences_carry_what_a_comparison_needs() -> None:
    first, second = run(CROSSED, STRAIGHT).sentences
    assert first == {
        "source": "a b", "reference": "u v", "tags": "short plain", "hypothesis": "u v",
        "sure": 2, "links": 2, "sure_hits": 2, "possible_hits": 2,
    }  # fmt: skip
    # The full stop's heaviest column is the end of the sentence.
    assert (second["sure"], second["links"], second["sure_hits"]) == (1, 0, 0)
    assert "sure" not in run(CROSSED, STRAIGHT, links=False).sentences[0]


def test_without_links_the_layer_agrees_best_with_itself_turned_around() -> None:
    # Every target word asks the first source word, which asks back for one of them: half agree.
    # "u" asks "b" and nobody else asks anybody, in both directions: all agree.
    mutual = {"u v": [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.5, 0.2, 0.3]], "w": [[0.4, 0.6], [0.5, 0.5]]}
    lazy = {"u v": [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], "w": [[0.4, 0.6], [0.5, 0.5]]}
    for layers, chosen in (((lazy, mutual), SECOND), ((mutual, lazy), FIRST)):
        evaluation = run(*layers, links=False)
        assert evaluation.alignment == AlignmentChoice(chosen, None)
        assert not any(name.startswith(("aer", "alignment")) for name in evaluation.metrics)
        assert evaluation.metrics["entropy"] > 0


def test_given_alignment_is_used_as_it_is() -> None:
    given = AlignmentChoice(FIRST, None)
    evaluation = run(CROSSED, STRAIGHT, alignment=given)
    assert evaluation.alignment == given
    assert evaluation.metrics["aer"] == pytest.approx(1.0)
    assert evaluation.metrics["alignment_precision"] == 0.0


def test_reading_that_aligns_best_is_chosen_with_its_head() -> None:
    # A step late: the row in which a word is fed in looks where the word is from.
    late = {"u v": [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], "w": [[0.4, 0.6], [0.8, 0.2]]}
    readings = tuple(Reading(row=row, quantity="weights") for row in ("output", "input"))
    evaluation = run(late, CROSSED, readings=readings)
    assert evaluation.alignment == AlignmentChoice(FIRST, None, row="input")
    assert evaluation.metrics["aer"] == evaluation.metrics["aer_by_reading/input_weights"] == pytest.approx(0.0)
    assert evaluation.metrics["aer_by_reading/output_weights"] == pytest.approx(1.0)
    assert evaluation.metrics["aer_by_layer/layer1"] == pytest.approx(0.2)  # "v" is fed in where the end is said
    rows = [(row["reading"], row["layer"], row["aer"], row["best"]) for row in evaluation.readings]
    assert rows[2:] == [("input_weights", 0, pytest.approx(0.0), True), ("input_weights", 1, pytest.approx(0.2), False)]
    assert run(late, CROSSED).alignment == AlignmentChoice(FIRST, None)
    assert run(late, CROSSED, readings=readings, links=False).alignment is not None


def test_reading_again_counts_no_pairs_of_a_corpus_whose_links_nobody_knows() -> None:
    rows = [row | {"corpus": name} for row, name in zip(make_rows(), ("gold", "plain"), strict=True)]
    rows[1]["links"] = ""
    tokenizer = cast(Tokenizer, WordTokenizer())
    read = _Reader(cast(EncoderDecoder, Told(STRAIGHT)), Tokenizers(tokenizer, tokenizer), argmax_links, 100)
    heads, _ = read(Dataset.from_list(rows), [OUTPUT_WEIGHTS])
    choice = heads.choose(OUTPUT_WEIGHTS)
    assert choice is not None and [*heads.counts(choice)] == [0]
    assert heads.score(choice)["aer"] == 0


def test_layer_of_the_largest_mean_norm_is_named_without_links() -> None:
    batch, norms = make_batch(0, 1), MeanNorms()
    for name, size in ((FIRST, 1.0), (SECOND, 2.0)):
        sizes = torch.full((2, 3, 3, 3), 9.0)  # what stands in padding does not count
        sizes[0], sizes[1, :, :2, :2] = size, size
        norms.add(name, sizes, batch)
    assert norms.largest() == SECOND and norms.mean(SECOND, 1) == pytest.approx(2.0)
    twice = MeanNorms()
    twice.merge(norms.sums)
    twice.merge({FIRST: (norms.sums[FIRST][0] * 9, norms.sums[FIRST][1])})
    assert twice.mean(FIRST, 0) == pytest.approx(5.0) and twice.largest() == FIRST
    assert MeanNorms().largest() is None


def test_given_reading_is_that_of_all_figures_and_statistics_stay_those_of_weights() -> None:
    given = AlignmentChoice(FIRST, None, row="input")
    evaluation = run(CROSSED, STRAIGHT, alignment=given, readings=(given.reading,))
    assert evaluation.alignment == given
    usual = run(CROSSED, STRAIGHT, alignment=given._replace(row="output"))
    assert evaluation.metrics["aer"] == next(row["aer"] for row in evaluation.heads if row["name"] == FIRST)
    assert evaluation.metrics["aer"] != usual.metrics["aer"]
    assert evaluation.metrics["entropy"] == usual.metrics["entropy"]


def test_given_alignment_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(UserError, match=r"chosen as decoder\.gone, but the model has only decoder\.layers\.0"):
        run(CROSSED, STRAIGHT, alignment=AlignmentChoice("decoder.gone", None))


def test_model_without_attention_has_no_alignment() -> None:
    evaluation = run()
    assert evaluation.alignment is None
    assert evaluation.metrics.keys() == {"loss", "perplexity", "token_accuracy", "bleu", "chrf"}


def test_whole_evaluation_is_detailed_and_leaves_the_model_as_it_was() -> None:
    model = Told(CROSSED, STRAIGHT).train()
    evaluation = evaluate(cast(EncoderDecoder, model), [make_batch(1), make_batch(0)], make_evaluator())
    assert model.modes == [False, False] and model.training
    metrics = evaluation.metrics
    assert (metrics["exact_match/short"], metrics["exact_match/plain"]) == (0.5, 1.0)
    # One of three words is replaced.
    assert metrics["ter"] == pytest.approx(100 / 3)
    assert [name for name in metrics if name.startswith("bleu_by_length")] == ["bleu_by_length/1-5"]
    by_place = {name: value for name, value in metrics.items() if name.startswith("token_accuracy_by_place")}
    assert by_place == {"token_accuracy_by_place/1-5": pytest.approx(metrics["token_accuracy"])}
    assert metrics["length_ratio"] == 1.0
    assert metrics["aer"] == pytest.approx(0.2)
    assert (metrics["aer_by_tag/short"], metrics["aer_by_tag/plain"]) == pytest.approx((0.2, 0.0))
    assert metrics["sentences_per_second"] > 0
    evaluate(cast(EncoderDecoder, model.eval()), [make_batch(0)], make_evaluator())
    assert not model.training


def test_forced_accuracy_is_counted_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "PLACES", (1, 2))
    evaluation = evaluate(
        cast(EncoderDecoder, Told(CROSSED, STRAIGHT)), [make_batch(1), make_batch(0)], make_evaluator()
    )
    metrics = evaluation.metrics
    ranges = [metrics[f"token_accuracy_by_place/{name}"] for name in ("1-1", "2-2", "3+")]
    assert len(set(ranges)) > 1
    # Two sentences: each has a first and a second token; those after them are the rest of the five.
    assert (2 * ranges[0] + 2 * ranges[1] + ranges[2]) / 5 == pytest.approx(metrics["token_accuracy"])


def test_scores_are_of_the_pairs_that_were_seen() -> None:
    evaluation = run(STRAIGHT, batches=((0,),))
    assert evaluation.hypotheses == ["u v"]
    assert evaluation.metrics["aer"] == pytest.approx(0.0)
    assert evaluation.metrics["loss"] == pytest.approx(4 / 3 * math.log(2), rel=1e-4)


def test_perplexity_of_a_hopeless_model_stays_a_number() -> None:
    evaluator = make_evaluator()
    evaluator.update(cast(EncoderDecoder, Told()), make_batch(0, 1))
    evaluator._likelihood = 1e6
    assert math.isfinite(evaluator.compute().metrics["perplexity"])


def test_texts_are_compared_in_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    rows = [row | {"target": text} for row, text in zip(make_rows(), (f"u {apart}…", "w"), strict=True)]
    said = {"nfc": f"u {composed}…", "identity": f"u {composed}…", "nmt_nfkc": f"u {composed}..."}
    for normalization, hypothesis in said.items():
        monkeypatch.setattr(WordTokenizer, "normalization", normalization)
        evaluator = make_evaluator()
        evaluator.dataset = Dataset.from_list(rows)
        evaluator._hypotheses = {0: hypothesis, 1: "w"}
        evaluation = evaluator.compute(detailed=True)
        assert evaluation.metrics["chrf"] == 100 and evaluation.metrics["exact_match/short"] == 1
        assert evaluation.sentences[0]["reference"] == f"u {apart}…"  # as it stands in the data
