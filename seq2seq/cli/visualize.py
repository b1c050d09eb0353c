"""`seq2seq visualize`: one sentence, its translations, and every attention behind them, as a page and as figures."""

import json
import logging
import sys
from pathlib import Path

from matplotlib.figure import Figure

from seq2seq.alignment.archive import save_attention
from seq2seq.alignment.heatmap import heatmap, heatmap_grid, save_figure
from seq2seq.alignment.maps import AttentionMap
from seq2seq.alignment.sentence import Sentence, hypothesis_of, readable, sentence_of
from seq2seq.build import build_search, find_device, load_model
from seq2seq.build_readings import read_as
from seq2seq.build_tags import with_tag
from seq2seq.checkpoint import AlignmentChoice, read_checkpoint
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.lists import figure_formats, names_of
from seq2seq.cli.process.output import check_folder, exchange, made_beside
from seq2seq.config_files import choices_of
from seq2seq.data.batching import collate
from seq2seq.data.text import is_blank, one_line
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import UserError
from seq2seq.pages.targets import Look, methods_for, targets_of
from seq2seq.pages.visualize import Target, visualize_page

log = logging.getLogger(__name__)

SUMMARY = "summary.json"
"""Lists the files beside it, which alone may be replaced."""

MAKING = "visualize"
"""Names the part of a folder in which a page is made; a process that was killed leaves it behind."""

PARTS = (f".{MAKING}.", f".{MAKING}-")
"""What such a name begins with: as it is, and as it was in earlier versions."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    keys, sentences = ("checkpoint", "output", "tag"), ("source", "target")
    config = command_config("visualize", arguments, text_keys=keys, sentences=sentences)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    output = Path(config.output)
    check_output(output)
    source_text = one_sentence("source", config.source)
    target_text = None if config.target is None else one_sentence("target", config.target)
    formats = figure_formats(config.figures)
    asked = None  # whatever the model can have
    if config.methods is not None:
        asked = names_of("methods", config.methods, choices_of("method"), example="erasure")
    search = build_search(config.search)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    model, tokenizers = load_model(checkpoint, find_device(config.device))
    tokenizers = with_tag(tokenizers, config.tag, [checkpoint])
    methods = methods_for(model, asked)

    max_length = config.loader.max_length or checkpoint.max_length
    source = cut_sentence("source", tokenizers.source, source_text, max_length)
    batch = collate([(source.ids, [], 0)]).to(next(model.parameters()).device)
    (found,) = search(model, batch.source, batch.source_mask, batch.source_lengths, key=tokenizers.target.decode)
    said: list[tuple[str, Sentence, float | None]] = [
        (f"hypothesis-{number}", readable(hypothesis_of(tokenizers.target, hypothesis.tokens)), hypothesis.score)
        for number, hypothesis in enumerate(found, 1)
    ]
    if target_text is not None:
        said.append(("reference", cut_sentence("target", tokenizers.target, target_text, max_length), None))
    alignment = checkpoint.alignment and read_as(checkpoint.alignment, config.get("reading"), model)
    reading = alignment.reading if alignment else None
    looked = [Look(source, *one) for one in said]
    targets = targets_of(model, tokenizers, looked, reading=reading, other_readings=True, methods=methods)
    if not targets[0].maps:
        raise UserError(f"{config.checkpoint} has no attention to see; use a model other than the bottleneck")

    write_folder(output, source, targets, alignment, config.checkpoint, formats)
    for target in targets:
        score = "" if target.score is None else f"{target.score:.4f}"
        print(f"{target.name:<12}  {score:>8}  {target.sentence.text}")
    print(f"{'page':<12}  {'':>8}  {output / 'index.html'}")


def one_sentence(key: str, text: str) -> str:
    """Return a text, as one line, that can be read and written; key is what messages call it."""
    text = one_line(text)
    if is_blank(text):
        raise UserError(
            f"{key} is empty, so it has an empty translation and no links, and there is no attention to see; give a "
            f'sentence, such as {key}="the wolf slept"'
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{key}={ascii(text)} is not text in UTF-8; say it in a UTF-8 locale") from None
    return text


def cut_sentence(key: str, tokenizer: Tokenizer, text: str, max_length: int) -> Sentence:
    """Return the text for the eye, no longer than max_length pieces; a longer one is cut, with a warning."""
    whole = sentence_of(tokenizer, text)
    if not whole.ids:
        raise UserError(f"{key}={text!r} has nothing that the model reads; give a sentence of letters")
    if len(whole.ids) <= max_length:
        return readable(whole)
    log.warning("%s: %d pieces are more than the model's %d; cut there", key, len(whole.ids), max_length)
    cut = sentence_of(tokenizer, text, max_length=max_length)
    return readable(cut._replace(text=" ".join(cut.words)))


def check_output(folder: Path) -> None:
    """Refuse a place where nothing can be written, or where something else would be lost.

    Raises:
        UserError: it is a file, below a file, or a folder that this command has not written.
    """
    check_folder(folder)
    if folder.exists() and any(folder.iterdir()):
        written = _written(folder)
        there = {path.name for path in folder.iterdir() if not path.name.startswith(PARTS)}
        foreign = _files(folder) - written if written else there
        if foreign:
            raise UserError(
                f"output={folder} holds other files ({min(foreign)}); give a folder that is new, empty, or an earlier "
                "visualize's alone"
            )


def _files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    return {path.as_posix() for path in found if not path.parts[0].startswith(PARTS)}


def _written(folder: Path) -> set[str]:
    """Return the files that an earlier run of this command wrote there, by its own account."""
    try:
        return {SUMMARY, *map(str, json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["files"])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_folder(
    folder: Path,
    source: Sentence,
    targets: list[Target],
    alignment: AlignmentChoice | None,
    checkpoint: str,
    formats: list[str],
) -> None:
    """Write page, figures in some formats, and weights; the folder appears, or is replaced, when all of it is there."""
    with made_beside(folder, MAKING) as (made, old):
        page = visualize_page(source, targets, alignment=alignment, checkpoint=checkpoint)
        # Only names of files can hold what is not in UTF-8, and JSON reads such an escape back.
        (made / "index.html").write_text(page, encoding="utf-8", errors="backslashreplace")
        # The encoder's attention is the same whatever is said of the source.
        encoder = [attention for attention in targets[0].maps if attention.site.kind == "encoder"]
        save_figures(made, formats, encoder, source.text, None)
        for target in targets:
            decoder = [attention for attention in target.maps if attention.site.kind != "encoder"]
            save_figures(made / target.name, formats, decoder, target.sentence.text, alignment)
            save_attention(made / target.name / "attention.npz", source, target.sentence, target.maps)
        summary = {
            "checkpoint": checkpoint,
            "alignment": None if alignment is None else alignment._asdict(),
            "source": source.text,
            "targets": [{"name": t.name, "text": t.sentence.text, "score": t.score} for t in targets],
            "files": sorted(_files(made)),
        }
        text = json.dumps(summary, ensure_ascii=False, indent=2) + "\n"
        (made / SUMMARY).write_text(text, encoding="utf-8", errors="backslashreplace")
        before = folder.iterdir() if folder.exists() else ()
        leaving = [path for path in before if not path.name.startswith(PARTS[0])]  # those of other processes
        # Without the summary, nobody would know afterwards what may be replaced: it leaves last, and enters first.
        exchange(
            folder,
            entering=sorted(made.iterdir(), key=lambda path: path.name != SUMMARY),
            leaving=sorted(leaving, key=lambda path: path.name == SUMMARY),
            old=old,
        )


def save_figures(
    folder: Path, formats: list[str], maps: list[AttentionMap], title: str, alignment: AlignmentChoice | None
) -> None:
    """Write a figure of all heads for each layer, `cross-layer0`, and `alignment` of the head that was chosen."""
    for attention in maps:
        view = attention.view("words")
        labels = view.key_labels, view.query_labels
        about = f"{title}\n{attention.site}\n{attention.remark(None)}"
        figure = heatmap_grid(view.weights, *labels, title=about, nowhere=view.nowhere)
        _save(figure, folder / str(attention.site).replace("/", "-"), formats)
        if alignment is not None and attention.name == alignment.layer:
            head = alignment.head
            weights, rest = view.of(head)
            name = "the only head" if len(view.weights) == 1 else alignment.head_name
            about = f"{title}\n{attention.site} · {name}{alignment.reading_name}\n{attention.remark(head)}"
            _save(heatmap(weights, *labels, title=about, nowhere=rest), folder / "alignment", formats)


def _save(figure: Figure, path: Path, formats: list[str]) -> None:
    for suffix in formats:
        save_figure(figure, Path(f"{path}.{suffix}"))
