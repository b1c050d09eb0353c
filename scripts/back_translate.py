"""Tagged back-translation (Caswell et al. 2019): text of the target language alone, as more to learn from.

    python scripts/back_translate.py outputs/back data=grammar --parallel 4000

The first training pairs are the parallel text. Of all others only the target is used: a model of the other direction,
trained on the parallel text, says what its source may be, by sampling (Edunov et al. 2018). A tag, <bt>, stands before
such a source, so that the model knows what is machine-made. It is trained beside one on the parallel text alone, with
the same vocabulary and as many steps.
"""

from arguments import above_0, mistakes_in_a_line
from recipes.steps import GOES_ON, Recipe, parser

from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.values import check_types
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--parallel", type=above_0, default=4000, help="pairs with both sides (%(default)s)")
    arguments.add_argument("--search", default="sample", help="of the model of the other direction (%(default)s)")
    options = arguments.parse_intermixed_args()
    with mistakes_in_a_line(options.overrides, remedy=GOES_ON):
        search = quote([f"search={options.search}"])
        check_types("translate", search)
        if compose_defaults("translate", search).search.get("n_best", 1) > 1:
            raise UserError(
                f"--search={options.search} says several translations of a sentence; take one of one, such as sample"
            )
        recipe = Recipe(options, pairs_above=options.parallel)
        parallel = recipe.part("parallel", end=options.parallel)
        lone = recipe.part("lone", start=options.parallel)[1]
        backward = recipe.train("backward", recipe.files(parallel, reverse=True))
        vocabulary = f"tokenizer.checkpoint={backward}"
        said = recipe.translate("back.source", backward, lone, f"search={options.search}")
        made = recipe.merge("back-translated", [(said, lone)])
        recipe.train("parallel-alone", recipe.files(parallel), vocabulary)
        both = ["data=mixture", *recipe.files(parallel, key="data.corpora.parallel")]
        both += ["data.corpora.back=text", "data.corpora.back.tag=bt"]
        both += [
            f"data.corpora.back.train.{side}={file}" for side, file in zip(("source", "target"), made, strict=True)
        ]
        recipe.train("tagged", both, vocabulary)
        recipe.table({
            "backward": "the other direction, for its own scores",
            "parallel-alone": "parallel text alone",
            "tagged": "with tagged back-translations",
        })  # fmt: skip


if __name__ == "__main__":
    main()
