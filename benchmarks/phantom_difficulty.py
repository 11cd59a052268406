"""How hard PhantomCXR is, measured: `python -m benchmarks.phantom_difficulty --difficulty default`.

Prints what a supervised classifier sees, what an n-gram classifier guesses without the image, and what matching alone
(alpha = beta = 0) learns over the default recipe's budget and over three times that; optionally a contact sheet.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

from datasets_scripts.phantom import study_image, study_state
from datasets_scripts.phantom_state import DIFFICULTIES
from datasets_scripts.schema import COUNTERFACTUAL_KINDS
from training.arguments import DEFAULT_RECIPE, Recipe, parse_recipe

from .phantom_blind import blind_table
from .phantom_classifier import classifier_table
from .phantom_matching import train_matching

PARTS = ("classifier", "ngram", "matching", "edits")
_COLUMNS, _ROWS = 8, 5


def _classifier(args: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    table = classifier_table(
        args.difficulty,
        recipe.data.phantom_image_size,
        args.classifier_train,
        args.classifier_test,
        args.classifier_epochs,
        args.seed,
    )
    print(f"\nSupervised classifier, {args.classifier_train} images, {args.classifier_epochs} epochs")
    print(f"{'finding':20}{'AUROC':>8}{'side %':>8}{'zone %':>8}{'size %':>8}{'n':>7}")
    for name, row in table.items():
        cells = "".join(f"{100 * row[key]:8.1f}" if key in row else f"{'':8}" for key in ("side", "zone", "size"))
        print(f"{name.replace('_', ' '):20}{row['auroc']:8.4f}{cells}{row.get('n', ''):>7}")
    return table


def _ngram(args: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
    table = blind_table(args.difficulty, args.ngram_studies, args.seed)
    print(f"\nN-gram classifier without the image, {args.ngram_studies} training and as many test studies")
    print(f"{'kind':12}{'accuracy %':>12}{'+-':>6}{'pairs':>8}{'null':>8}")
    for kind, row in table.items():
        print(f"{kind:12}{100 * row['accuracy']:12.1f}{196 * row['standard_error']:6.1f}{row['n']:8}{row['n_null']:8}")
    return table


def _training(title: str, with_edits: bool) -> Callable[[argparse.Namespace, Recipe], dict[str, Any]]:
    def run(args: argparse.Namespace, recipe: Recipe) -> dict[str, Any]:
        results: dict[str, Any] = {}
        budget = recipe.optimization.num_train_epochs
        for factor in args.budgets:
            print(f"\n{title}, {factor} x {budget} epochs: counterfactual accuracy on test, %")
            columns = ("all", *COUNTERFACTUAL_KINDS, "permuted", "R@1", "R@1 abn.")
            print(f"{'epoch':>6}" + "".join(f"{column:>11}" for column in columns))
            results[str(factor)] = []
            for point in train_matching(recipe, factor * budget, with_edits, curve_points=3 * factor):
                print(_curve_row(point), flush=True)
                results[str(factor)].append(point)
        return results

    return run


def _curve_row(point: Mapping[str, Any]) -> str:
    tree = point["counterfactual"]
    numbers = [tree["accuracy"], *(tree["by_kind"][kind] for kind in COUNTERFACTUAL_KINDS)]
    numbers += [point["permuted"]["accuracy"]]
    numbers += [point[name]["image_to_text"]["recall_at_1"] for name in ("retrieval", "retrieval_abnormal")]
    return f"{point['epoch']:6}" + "".join(f"{100 * number['value']:11.1f}" for number in numbers)


_RUN: Mapping[str, Callable[[argparse.Namespace, Recipe], dict[str, Any]]] = {
    "classifier": _classifier,
    "ngram": _ngram,
    "matching": _training("Matching alone", with_edits=False),
    "edits": _training("Matching with counterfactuals as negatives", with_edits=True),
}


def contact_sheet(path: Path, difficulty: str, seed: int, image_size: int) -> None:
    """A picture of the first test studies, each under its findings, two pixels a pixel."""
    side = 2 * image_size
    sheet = Image.new("L", (_COLUMNS * side, _ROWS * (side + 24)))
    draw = ImageDraw.Draw(sheet)
    for index in range(_COLUMNS * _ROWS):
        x, y = index % _COLUMNS * side, index // _COLUMNS * (side + 24)
        image, _ = study_image(seed, "test", index, difficulty, image_size)
        sheet.paste(image.resize((side, side)), (x, y + 24))
        state = study_state(seed, "test", index, difficulty)
        heart = [] if state.heart == "normal" else [f"{state.heart} heart"]
        words = heart + [" ".join(filter(None, (f.size, f.side, f.zone, f.name))) for f in state.findings]
        for line, text in enumerate(words[:2]):
            draw.text((x + 2, y + 11 * line), text.replace("_", " ")[: side // 6], fill=255)
    sheet.save(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts that were asked for, print their tables, and write the numbers and the contact sheet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phantom_difficulty", description=__doc__)
    parser.add_argument("--difficulty", choices=tuple(DIFFICULTIES), default="default")
    parser.add_argument("--config", default=str(DEFAULT_RECIPE), help="recipe whose encoders and budget are used")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"comma-separated, of {', '.join(PARTS)}, or none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 3], help="in units of the recipe's epochs")
    parser.add_argument("--classifier_train", type=int, default=20000)
    parser.add_argument("--classifier_test", type=int, default=4000)
    parser.add_argument("--classifier_epochs", type=int, default=8)
    parser.add_argument("--ngram_studies", type=int, default=20000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    parser.add_argument("--contact_sheet", type=Path, help="write a picture of test studies to this file")
    args = parser.parse_args(argv)
    parts = [part for part in args.parts.split(",") if part]
    unknown = [part for part in parts if part not in _RUN]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}; known are {', '.join(PARTS)}")
    torch.set_num_threads(args.threads)
    recipe = parse_recipe(["--config", args.config, "--phantom_difficulty", args.difficulty, "--seed", str(args.seed)])
    if args.contact_sheet:
        contact_sheet(args.contact_sheet, args.difficulty, args.seed, recipe.data.phantom_image_size)
    results = {part: _RUN[part](args, recipe) for part in parts}
    if args.json:
        args.json.write_text(
            json.dumps({"difficulty": args.difficulty, "seed": args.seed, **results}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
