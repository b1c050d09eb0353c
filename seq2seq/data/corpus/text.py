"""Text files, two line-parallel ones a split, and maybe links."""

from collections.abc import Iterator, Mapping

from seq2seq.data import files
from seq2seq.data.corpus.base import Corpus
from seq2seq.data.link_forms import LinkForm, find_form
from seq2seq.data.linked_text import linked_pairs
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError


class TextCorpus(Corpus):
    """Two line-parallel files a split, and maybe a third with links; raises UserError for half a split.

    A split is a mapping from `source`, `target` and `links` to files; None, and one without source and target, is left
    out.
    `links_first_index` is what the first word counts as in the files of links; None: what `find_form` says.
    """

    def __init__(
        self,
        *,
        train: Mapping[str, str | None] | None,
        val: Mapping[str, str | None] | None,
        test: Mapping[str, str | None] | None,
        transpose_links: bool = False,
        links_first_index: int | None = None,
        streaming: bool = False,
    ) -> None:
        if links_first_index not in (None, 0, 1):
            raise UserError(f"data.links_first_index={links_first_index}: links are counted from 0 or from 1")
        self.transpose_links, self.links_first_index = transpose_links, links_first_index
        self._doubted: set[str] = set()  # files of links of which was said that they may count from 1
        given = {"train": train, "val": val, "test": test}
        for name, split in given.items():
            if not isinstance(split, Mapping | None):
                raise UserError(f"data.{name}={split}: say data.{name}.source=FILE data.{name}.target=FILE")
        self._files = {
            name: split for name, split in given.items() if split and (split.get("source") or split.get("target"))
        }
        for name, split in self._files.items():
            for side in ("source", "target"):
                if not split.get(side):
                    raise UserError(f"data.{name}.{side} is missing: say data.{name}.{side}=FILE")
        super().__init__(self._files, streaming=streaming)

    def _fingerprint(self, split: str) -> str:
        found = f"{files.digest(*self._paths(split))} {self.transpose_links}"
        links = self._files[split].get("links")
        return f"{found} from 1" if links and self._form(links).first_index else found

    def _paths(self, split: str) -> list[str]:
        names = self._files[split]
        return [str(names[kind]) for kind in ("source", "target", "links") if names.get(kind)]

    def _form(self, links: str) -> LinkForm:
        return find_form(files.read_lines(links), links, self.links_first_index)

    def _pairs(self, split: str) -> Iterator[Pair]:
        source, target, *links = self._paths(split)
        if not links:
            yield from (Pair(*texts) for texts in files.read_parallel(source, target))
            return
        yield from linked_pairs(
            source,
            target,
            links[0],
            form=self._form(links[0]),
            transpose=self.transpose_links,
            doubted=self._doubted,
            key=self.key,
        )
