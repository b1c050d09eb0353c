"""How an export is loaded and used, in Python, as its model card says it."""

from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.data.units import ByteTokenizer, WordTokenizer

SENTENCEPIECE = """
import sentencepiece

source, target = (sentencepiece.SentencePieceProcessor(f"FOLDER/{side}.spm") for side in ("source", "target"))
"""

BYTES = """
names = {byte: chr(byte) if 32 < byte < 127 else "▁" if byte == 32 else f"<0x{byte:02X}>" for byte in range(256)}
bytes_of = {name: byte for byte, name in names.items()}
"""

CTRANSLATE2 = """
import ctranslate2
{before}
translator = ctranslate2.Translator("FOLDER")
{cut}
(found,) = translator.translate_batch([pieces], beam_size=5, min_decoding_length=0{prefix})
said = found.hypotheses[0]{after}
print({join})
"""

ONNX = """
import json, onnxruntime

begin = onnxruntime.InferenceSession("FOLDER/begin.onnx")  # source ids and lengths to a state
step = onnxruntime.InferenceSession("FOLDER/step.onnx")  # tokens and a state to logits, the next state and weights
graphs = json.load(open("FOLDER/graphs.json"))  # special ids, names of the state's tensors
"""

GREEDY = """
import numpy, sentencepiece

source, target = (sentencepiece.SentencePieceProcessor(f"FOLDER/{side}.spm") for side in ("source", "target"))
ids = numpy.array([[*source.encode("A sentence ."), graphs["eos"]]])
state = dict(zip(graphs["state"], begin.run(None, {"source": ids, "source_lengths": numpy.array([ids.size])})))
names = [node.name for node in step.get_outputs()]
said = [graphs["bos"]]
while said[-1] != graphs["eos"] and len(said) < 100:  # greedy search: the likeliest piece, again and again
    given = {"tokens": numpy.array([said[-1:]]), "place": numpy.array(len(said) - 1), **state}
    found = dict(zip(names, step.run(None, {node.name: given[node.name] for node in step.get_inputs()})))
    state |= {name: found[f"{name}_next"] for name in graphs["beams"]}
    found["logits"][..., [graphs["pad"], graphs["bos"]]] = -numpy.inf  # these are never said
    said.append(int(found["logits"].argmax()))
print(target.decode([piece for piece in said[1:] if piece != graphs["eos"]]))
"""

SAFETENSORS = """
import safetensors.torch

weights = safetensors.torch.load_file("FOLDER/model.safetensors")  # by the names of seq2seq's modules
"""

HUGGINGFACE = """
from transformers import MarianMTModel, MarianTokenizer

model, tokenizer = MarianMTModel.from_pretrained("FOLDER"), MarianTokenizer.from_pretrained("FOLDER")
ids = model.generate(**tokenizer(["{code}A sentence ."], return_tensors="pt"))
print(tokenizer.batch_decode(ids, skip_special_tokens=True))
"""


def how_to_load(form: str, name: str, tokenizers: Tokenizers, first_token: int | None) -> str:
    """Return Python that loads an export, and translates a sentence where the format can.

    Args:
        form: the format.
        name: of the folder.
        tokenizers: of the model.
        first_token: what every translation is forced to begin with, such as a language; None: nothing.
    """
    source = tokenizers.source
    tag = source.tag or next(iter(source.tag_ids), "")
    first = source.pieces([source.tag_ids[tag]]) if tag else []
    if form == "ctranslate2":
        text = _ctranslate2(tokenizers, first, first_token)
    elif form == "huggingface":
        text = HUGGINGFACE.format(code=f">>{tag}<< " if tag else "")
    else:
        text = {"onnx": ONNX, "safetensors": SAFETENSORS}[form]
        if form == "onnx" and all(type(side) is Tokenizer for side in tokenizers) and not first and first_token is None:
            text += GREEDY  # ids of the .spm files are those of the graphs
    return text.replace("FOLDER", name)


def _ctranslate2(tokenizers: Tokenizers, first: list[str], first_token: int | None) -> str:
    source, target = tokenizers
    before, cut = SENTENCEPIECE, 'source.encode("A sentence .", out_type=str)'
    if isinstance(source, ByteTokenizer):
        before, cut = BYTES, '[names[byte] for byte in "A sentence .".encode()]'
    elif isinstance(source, WordTokenizer):
        before, cut = "", '["▁" + word for word in "A sentence .".split()]'
    pieces = f"pieces = {first} + {cut}  # tags: {', '.join(source.pieces([*source.tag_ids.values()][:8]))}"
    forced = {"prefix": "", "after": ""}
    if first_token is not None:
        forced = {"prefix": f", target_prefix=[{target.pieces([first_token])}]", "after": "[1:]  # without that"}
    return CTRANSLATE2.format(before=before, cut=pieces if first else f"pieces = {cut}", join=_joined(target), **forced)


def _joined(target: Tokenizer) -> str:
    """Return what makes text of the pieces found."""
    if isinstance(target, ByteTokenizer):
        return 'bytes(bytes_of[name] for name in said if name in bytes_of).decode(errors="replace")'
    if isinstance(target, WordTokenizer):
        return '" ".join(piece.removeprefix("▁") for piece in said)'
    return "target.decode(said)"
