"""What is said of text that a tokenizer does not keep."""

from dataclasses import replace

from seq2seq.data.fidelity import Losses, describe_losses
from seq2seq.data.pair import Pair
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, Tokenizers
from seq2seq.data.tokenizer_training import train_tokenizer

LINES = ["a b c m² …", "c b a"]
CONFIG = TokenizerConfig(
    model_type="bpe", vocab_size=15, joint=True, sampling=0.0, normalization="nfc", character_coverage=1.0,
    input_sentence_size=0,
)  # fmt: skip


def losses(normalization: str, *targets: str, sample: bool = False) -> tuple[Losses, Tokenizers]:
    config = replace(CONFIG, normalization=normalization, vocab_size={"nfc": 14, "nmt_nfkc": 14}[normalization])
    tokenizer = Tokenizer(train_tokenizer(LINES, config))
    tokenizers = Tokenizers(tokenizer, tokenizer)
    found = Losses(tokenizers, sample=sample)
    for line, target in enumerate(targets, start=1):
        found.add(Pair("a b", target), [tokenizer.encode("a b"), tokenizer.encode(target)], line)
    return found, tokenizers


def test_text_that_comes_back_is_not_spoken_of() -> None:
    found, tokenizers = losses("nfc", "a b", "c  m² \t…")  # blanks are not counted as a loss
    assert describe_losses(found.as_data(), tokenizers, remedy=None) is None


def test_unknown_pieces_are_counted_with_their_line_and_the_remedy() -> None:
    found, tokenizers = losses("nfc", "a b", "a x", "b")
    config = replace(CONFIG, character_coverage=0.99)
    said = describe_losses(found.as_data(), tokenizers, remedy=config.more_known)
    assert said == (
        "1 of 6 target pieces are unknown (16.67%, first in line 2), 1 of 3 target lines do not come back from the "
        "tokenizer as they were; raise tokenizer.character_coverage=0.99, and tokenizer.vocab_size if that needs it"
    )
    said = describe_losses(found.as_data(), tokenizers, remedy=replace(config, character_coverage=1.0).more_known)
    assert said is not None and said.endswith("; the text that the tokenizer was trained on lacks their characters")


def test_rewritten_lines_are_counted_with_the_remedy() -> None:
    found, tokenizers = losses("nmt_nfkc", "a b", "a …")
    assert describe_losses(found.as_data(), tokenizers, remedy=None) == (
        "1 of 2 target lines do not come back from the tokenizer as they were (first without an unknown piece line 2); "
        "tokenizer.normalization=nmt_nfkc rewrites characters, nfc and identity do not"
    )


def test_of_much_text_a_sample_is_decoded() -> None:
    found, _ = losses("nfc", *["a b"] * 2_200, sample=True)
    assert found.sides[1].lines == 2_000 + 4 and found.sides[1].pieces >= 2 * 2_200
