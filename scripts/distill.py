"""Sequence-level distillation (Kim and Rush 2016): a small model learns what a large one says.

    python scripts/distill.py outputs/distill data=grammar --teacher "model=transformer" --student "model.d_model=64"

A teacher is trained, and translates the training sources by beam search. Then two students, alike but for that: one
learns from the text, one from what the teacher made of it. All have the teacher's vocabulary and as many steps.
"""

from arguments import mistakes_in_a_line
from recipes.steps import GOES_ON, Recipe, parser, split_overrides


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--teacher", default="", help="overrides of the teacher alone, in one argument")
    arguments.add_argument("--student", default="", help="overrides of both students")
    options = arguments.parse_intermixed_args()
    with mistakes_in_a_line(options.overrides, remedy=GOES_ON):
        of_teacher, of_students = split_overrides(options.teacher), split_overrides(options.student)
        recipe = Recipe(options, of_some=(of_teacher, of_students))
        source = recipe.text("train", "source")
        teacher = recipe.train("teacher", recipe.files(), *of_teacher)
        said = recipe.translate("distilled.target", teacher, source, "search=beam")
        student = [f"tokenizer.checkpoint={teacher}", *of_students]
        recipe.train("student", recipe.files(), *student)
        recipe.train("student-distilled", recipe.files(recipe.merge("taught", [(source, said)])), *student)
        recipe.table({
            "teacher": "teacher",
            "student": "student, from the text",
            "student-distilled": "student, from what the teacher says",
        })  # fmt: skip


if __name__ == "__main__":
    main()
