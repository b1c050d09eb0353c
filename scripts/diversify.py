"""Data diversification (Nguyen et al. 2020): what several models of both directions say, merged with the text.

    python scripts/diversify.py outputs/diverse data=grammar --models 3

Models that differ in their seeds alone are trained, so many of each direction. Those from source to target translate
the sources, the others the targets. A last model, like the first, learns from the text and from all that, each pair
once, with the same vocabulary and as many steps. No other text is used.
"""

from arguments import above_0, mistakes_in_a_line
from recipes.steps import GOES_ON, Recipe, parser


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", type=above_0, default=3, help="of each direction (%(default)s)")
    options = arguments.parse_intermixed_args()
    with mistakes_in_a_line(options.overrides, remedy=GOES_ON):
        recipe = Recipe(options)
        source, target = text = recipe.text("train", "source"), recipe.text("train", "target")
        pairs, vocabulary = [text], list[str]()
        for number in range(1, options.models + 1):
            forward = recipe.train(f"forward-{number}", recipe.files(), *vocabulary, f"seed={number}")
            vocabulary = vocabulary or [f"tokenizer.checkpoint={forward}"]
            backward = recipe.train(f"backward-{number}", recipe.files(reverse=True), *vocabulary, f"seed={number}")
            pairs.append((source, recipe.translate(f"forward-{number}.target", forward, source, "search=beam")))
            pairs.append((recipe.translate(f"backward-{number}.source", backward, target, "search=beam"), target))
        recipe.train("diversified", recipe.files(recipe.merge("merged", pairs)), *vocabulary, "seed=1")
        recipe.table({
            **{f"forward-{number}": f"from the text, seed {number}" for number in range(1, options.models + 1)},
            "diversified": f"and from what {2 * options.models} models say, seed 1",
        })  # fmt: skip


if __name__ == "__main__":
    main()
