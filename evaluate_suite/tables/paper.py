"""What the paper printed: Tables II, III and IV, in per cent, and what is odd in them."""

from collections.abc import Mapping
from dataclasses import dataclass

CONVIRT, GLORIA, WITHOUT_LOCAL, PRD = "convirt", "gloria", "prd_without_local", "prd"

MAJORITY, HYPOTHESIS, CHANCE, BLIND = "majority", "hypothesis", "chance", "blind"

LABELS: Mapping[str, str] = {
    CONVIRT: "ConVIRT",
    GLORIA: "GLoRIA",
    "gloria_original": "GLoRIA, its own loss",
    WITHOUT_LOCAL: "PRD without local loss",
    PRD: "PRD",
    MAJORITY: "majority class",
    HYPOTHESIS: "hypothesis alone",
    CHANCE: "chance",
    BLIND: "blind model",
}
"""What the rows of known recipes, and of the controls, are called."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        step: the kind of cell that measures it.
        number: the name of the number among those of the cell.
        printed: what the paper has there, in per cent, by recipe; empty where the paper has no such column.
        share: whether it is a share, printed in per cent.
    """

    title: str
    step: str
    number: str
    printed: Mapping[str, float]
    share: bool = True


@dataclass(frozen=True)
class Table:
    """A table of the paper, with the columns that we put beside its own.

    Attributes:
        name: its number in the paper.
        title: what it shows.
        columns: the paper's first.
        controls: rows that are no models of images and reports. All but `HYPOTHESIS`, which is fine-tuned, are
            measured by each method's cell too.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    controls: tuple[str, ...]


def _by_method(convirt: float, gloria: float, without_local: float, prd: float) -> Mapping[str, float]:
    return {CONVIRT: convirt, GLORIA: gloria, WITHOUT_LOCAL: without_local, PRD: prd}


TABLES: tuple[Table, ...] = (
    Table(
        "II",
        "fine-tuned image classification on CheXpert, accuracy at 0.5",
        (
            Column("consolidation", "chexpert", "consolidation", _by_method(28.80, 71.11, 33.80, 93.40)),
            Column("pleural effusion", "chexpert", "pleural_effusion", _by_method(43.60, 28.89, 77.80, 51.80)),
            Column("average", "chexpert", "average", _by_method(36.20, 50.00, 55.80, 72.60)),
            Column("mean AUROC", "chexpert", "auroc", {}, share=False),
        ),
        (MAJORITY,),
    ),
    Table(
        "III",
        "fine-tuned natural language inference, accuracy",
        (
            Column("MedNLI", "mednli", "accuracy", _by_method(86.80, 86.64, 87.62, 85.79)),
            Column("RadNLI", "radnli", "accuracy", _by_method(68.50, 68.33, 66.67, 68.96)),
        ),
        (MAJORITY, HYPOTHESIS),
    ),
    Table(
        "IV",
        "the report among its nine perturbed copies, without fine-tuning, accuracy",
        (
            Column("structure", "evaluate", "structure", _by_method(43.10, 44.30, 46.30, 49.00)),
            Column("structure, wrong images", "evaluate", "structure_wrong_image", {}),
            Column("counterfactual", "evaluate", "counterfactual", {}),
            Column("pointing game", "evaluate", "pointing_game", {}),
        ),
        (CHANCE, BLIND),
    ),
)

ODDITIES: tuple[str, ...] = (
    "Table II, GLoRIA: 71.11 and 28.89 add up to 100, and average 50.00: what a constant answer would give, one that "
    "says the same of every image, where the shares of the two labels add up to 100 %.",
    "Table II, GLoRIA: neither number is a share of the 500 test images that the text names (355 of them are 71.00 %, "
    "356 are 71.20 %); 32 and 13 of 45 are 71.11 and 28.89 %. The other six are shares of 500.",
    "Table II: four of the eight accuracies are below 50 %, and a fifth is 51.80 %: for the four the opposite answer "
    "would do better. There is no constant answer to compare with, no prevalence and no AUROC.",
    "Table III, ConVIRT: 68.50 % is no share of RadNLI's 480 test pairs nor of its 960 (329 of 480 are 68.54 %), and "
    "86.80 % none of MedNLI's 1,422 test pairs (1,234 are 86.78 %): they have one decimal place, the other rows two.",
    "Table III: PRD is the lowest of the four on MedNLI, and PRD without the local loss on RadNLI; PRD is ahead of "
    "GLoRIA there by 3 of 480 pairs. The text says that PRD outperforms the baselines on both.",
    "Table IV: the rows differ by 1.2 to 2.7 points from one to the next; the 95 % interval of such an accuracy on "
    "469 pairs is about 4.5 points to each side. A blind model, which reads the texts alone, has more than 99 % "
    "there, and chance is 10 %: the test asks for word order, and the models are far below what language alone gives.",
    "No table says how many runs its numbers are of, or how far they scatter.",
)
"""What a reader of the paper's tables should know; each can be checked by arithmetic on its numbers."""
