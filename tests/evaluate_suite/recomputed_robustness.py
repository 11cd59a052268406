"""The task `robustness` recomputed: the images are spoilt by the suite, and all else follows from their vectors."""

from collections.abc import Sequence

from datasets import Dataset
from recomputed import SHARE, TIE, Model, Plan, Tree, dot, mean, measured, vectors
from recomputed_counterfactual import pair_wins, read_edits
from recomputed_retrieval import chance_ranks, recall_at_1

from evaluate_suite.corruptions import CORRUPTIONS, SEVERITIES, corrupt


def robustness(model: Model, test: Dataset, plan: Plan) -> Tree:
    tree: Tree = {"clean": _scores(model, model.images, test, plan)}
    for corruption in CORRUPTIONS:
        tree[corruption] = {}
        for severity in SEVERITIES:
            spoilt = [
                corrupt(row["image"], corruption, severity, image_id=row["image_id"], seed=plan.seed) for row in test
            ]
            images = vectors(model.encoder.encode_images(spoilt))
            tree[corruption][str(severity)] = _scores(model, images, test, plan)
    return tree


def _scores(model: Model, images: Sequence[Sequence[float]], test: Dataset, plan: Plan) -> Tree:
    reports, studies = test["report"][:], test["study_id"][:]
    right, of_right, chances = [], [], []
    for place, (perturbed, changed) in enumerate(zip(test["perturbed"], test["changed"], strict=True)):
        rivals = [perturbed[name] for name in perturbed if changed[name]]
        if rivals:
            own = dot(images[place], model.text(reports[place]))
            right.append(float(all(own > dot(images[place], model.text(rival)) + TIE for rival in rivals)))
            of_right.append(studies[place])
            chances.append(1 / (1 + len(rivals)))
    edits = read_edits(test)
    wins = pair_wins(images, model, edits, range(len(test)))
    of_images, of_reports = recall_at_1(images, model, test)
    distinct = list(dict.fromkeys(reports))
    n_right = [reports.count(report) for report in distinct]
    first_studies = [studies[reports.index(report)] for report in distinct]
    of_random_texts = float(chance_ranks(len(reports), n_right)[0])
    found = {
        "structure_accuracy": (right, of_right, mean(chances)),
        "counterfactual_accuracy": (wins, edits.studies, 0.5),
        "image_to_text_recall_at_1": (of_images, studies, 1 / len(distinct)),
        "text_to_image_recall_at_1": (of_reports, first_studies, of_random_texts),
    }
    return {name: measured(*numbers, plan, bounds=SHARE) for name, numbers in found.items()}
