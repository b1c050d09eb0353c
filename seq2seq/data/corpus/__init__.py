"""Where sentence pairs come from, a file a kind.

base.py       what every one is         Corpus
embedded.py   the embedded grammar      GrammarCorpus
text.py       parallel text files       TextCorpus
table.py      tsv, csv, jsonl, parquet  TableCorpus
hub.py        the Hugging Face hub      HubCorpus
multi30k.py   Multi30k                  Multi30kCorpus

`seq2seq.data.mixture` draws from several. Configurations, also those in checkpoints, name these classes here.
"""

from seq2seq.data.corpus.base import Corpus
from seq2seq.data.corpus.embedded import GrammarCorpus
from seq2seq.data.corpus.hub import HubCorpus
from seq2seq.data.corpus.multi30k import Multi30kCorpus
from seq2seq.data.corpus.table import TableCorpus
from seq2seq.data.corpus.text import TextCorpus

__all__ = ["Corpus", "GrammarCorpus", "HubCorpus", "Multi30kCorpus", "TableCorpus", "TextCorpus"]
