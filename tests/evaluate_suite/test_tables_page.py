"""`tables.json` and `tables.md`: the paper's numbers beside ours, the controls, what is missing and why."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from PIL import Image
from tables_helpers import quick_plan, run_plan, value_of

from evaluate_suite.tables.assembly import assemble
from evaluate_suite.tables.charts import chart
from evaluate_suite.tables.output import write_tables
from evaluate_suite.tables.paper import ODDITIES, TABLES

FAILS = "import sys; sys.exit('error: data: it is broken')"


def written(out: Path, **plan: Any) -> tuple[dict[str, Any], str]:
    made = quick_plan(out, **plan)
    write_tables(assemble(made, run_plan(made, out)), out)
    return json.loads((out / "tables.json").read_text()), (out / "tables.md").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    out = tmp_path_factory.mktemp("tables")
    return (out, *written(out))


def row_of(tree: dict[str, Any], table: str, row: str) -> dict[str, Any]:
    rows = next(each for each in tree["tables"] if each["name"] == table)["rows"]
    return next(each for each in rows if each["row"] == row)


def line_of(page: str, table: str, label: str) -> list[str]:
    part = page.split(f"## Table {table}: ")[1].split("\n## ")[0]
    line = next(line for line in part.splitlines() if line.startswith(f"| {label} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_mean_and_deviation_are_those_of_the_cells(whole: tuple[Path, dict[str, Any], str]):
    out, tree, _ = whole
    for table, title, step in (("III", "MedNLI", "mednli"), ("IV", "structure", "evaluate")):
        for row in ("random", "convirt", "prd"):
            cells = [json.loads((out / "cells" / f"{row}-{step}-seed{seed}.json").read_text()) for seed in (0, 1)]
            name = "accuracy" if step == "mednli" else "structure"
            values = [cell["numbers"][name]["value"] for cell in cells]
            ours = row_of(tree, table, row)["ours"][title]
            assert values == [value_of(row, 0), value_of(row, 1)]
            assert ours["mean"] == pytest.approx(statistics.fmean(values))
            assert ours["deviation"] == pytest.approx(statistics.stdev(values))


def test_the_papers_number_stands_beside_ours(whole: tuple[Path, dict[str, Any], str]):
    _, _, page = whole
    # Mean 0.825 of 0.80 and 0.85; Student's t of two seeds is 12.706, so the interval ends at 100.
    assert line_of(page, "IV", "PRD")[:3] == ["PRD", "49.00", "82.5 ± 3.5 [50.7, 100.0]"]
    assert line_of(page, "III", "ConVIRT")[1] == "86.80"
    assert line_of(page, "III", "ConVIRT")[3] == "68.50"
    assert line_of(page, "II", "PRD")[1:6:2] == ["93.40", "51.80", "72.60"]
    assert line_of(page, "II", "PRD")[7].startswith("0.825 ± 0.035 [")
    assert line_of(page, "II", "random initialisation")[1] == "–"


def test_controls_stand_first(whole: tuple[Path, dict[str, Any], str]):
    _, tree, page = whole
    assert [table["rows"][0]["row"] for table in tree["tables"]] == ["majority", "majority", "chance"]
    assert line_of(page, "III", "majority class")[2].startswith("33.3 [")
    assert line_of(page, "II", "majority class")[2] == "10.0"
    assert line_of(page, "IV", "chance")[2] == "10.0"
    assert line_of(page, "IV", "blind model")[2] == "99.0 [98.5, 99.5]"


def test_what_is_not_there_says_why_and_nothing_is_filled_in(whole: tuple[Path, dict[str, Any], str]):
    _, tree, page = whole
    assert line_of(page, "IV", "PRD")[-1] == "not measured"
    assert "pointing game" not in row_of(tree, "IV", "prd")["ours"]
    assert ": none of the 100 rows has a box" in page
    published = row_of(tree, "III", "published")
    assert published["ours"] == {}
    assert line_of(page, "III", published["label"])[2] == "not run"
    assert "no published encoders of their size" in page


def test_the_page_says_how_rows_were_made_what_was_spent_and_what_is_odd(whole: tuple[Path, dict[str, Any], str]):
    _, tree, page = whole
    assert "| ConVIRT | pre-trained by the recipe convirt" in page
    assert "alpha 0.0, beta 0.0" in page
    assert tree["time"]["prd"]["mednli"]["cells"] == 2
    assert "| prd | mednli | 2 |" in page
    assert all(oddity in page for oddity in ODDITIES)


def test_a_failed_cell_stands_on_the_page(tmp_path: Path):
    tree, page = written(tmp_path, commands={"prd-mednli-seed1": FAILS, "convirt-pretrain-seed0": FAILS})
    assert "- prd-mednli-seed1: error: data: it is broken (status 1)" in page
    assert line_of(page, "III", "PRD")[2] == "80.0 [78.0, 82.0] (1 of 2 seeds)"
    assert row_of(tree, "III", "prd")["missing"]["MedNLI"]["seeds"] == [1]
    assert "needs convirt-pretrain-seed0, which failed" in page


def test_a_corpus_that_is_not_given_is_said(tmp_path: Path):
    tree, page = written(tmp_path, scale="paper", there=("pairs", "mednli"))
    assert line_of(page, "II", "PRD")[1:3] == ["93.40", "not run"]
    assert "no corpus: --data chexpert=DIR_OR_ID was not given" in page
    assert row_of(tree, "II", "majority")["ours"] == {}
    assert line_of(page, "III", "PRD")[2].startswith("82.5")


def test_the_hypothesis_alone_is_fine_tuned_of_the_start(whole: tuple[Path, dict[str, Any], str]):
    _, tree, page = whole
    row = row_of(tree, "III", "hypothesis")
    assert {title: number["mean"] for title, number in row["ours"].items()} == {
        title: pytest.approx(value_of("hypothesis", 0) + 0.025) for title in ("MedNLI", "RadNLI")
    }
    assert "hypothesis alone" in page.split("## Table III")[1].split("## Table IV")[0]
    cell = tree["cells"]["hypothesis-radnli-seed1"]
    assert cell["settings"]["finetune.hypothesis_only"] == "true"
    assert "from start-pretrain-seed1" in cell["settings"]


def test_what_is_synthetic_is_said_of_given_corpora_too(whole: tuple[Path, dict[str, Any], str]):
    _, tree, page = whole
    assert tree["corpora"]["pairs"]["synthetic"] == {"rows": 100, "synthetic": 30}
    assert tree["corpora"]["mednli"]["synthetic"] == {"rows": 200, "synthetic": 0}
    assert tree["corpora"]["radnli"]["synthetic"] == {"rows": 50, "synthetic": 20}  # not those of MedNLI
    assert "**Images or pairs of `pairs`, `radnli` are synthetic, made by a program" in page
    assert "| pairs | org/pairs | 30 of 100 |" in page
    assert "| mednli | org/mednli | – |" in page


def legend_of(table: dict[str, Any]) -> list[str]:
    figure = Figure(layout="constrained")
    chart(table).draw(figure)
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_chart_says_if_its_numbers_are_of_synthetic_data(whole: tuple[Path, dict[str, Any], str]):
    _, tree, _ = whole
    legends = {table["name"]: legend_of(table) for table in tree["tables"]}
    assert legends == {
        "II": ["chance, or the constant answer", "the paper's", "ours"],
        "III": ["chance, or the constant answer", "the paper's", "ours, on synthetic data"],
        "IV": ["chance, or the constant answer", "the paper's", "ours, on synthetic data"],
    }


def test_each_table_has_its_chart(whole: tuple[Path, dict[str, Any], str]):
    out, _, page = whole
    for table in ("II", "III", "IV"):
        assert f"(figures/table_{table}.png)" in page
        with Image.open(out / "figures" / f"table_{table}.png") as picture:
            assert picture.width > 400
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20


def test_one_table_alone_has_its_page(tmp_path: Path):
    tree, page = written(tmp_path, tables=[table for table in TABLES if table.name == "IV"])
    assert [table["name"] for table in tree["tables"]] == ["IV"]
    assert page.startswith("# The paper's Table IV\n")
    assert "hypothesis" not in page
    assert [file.name for file in (tmp_path / "figures").iterdir()] == ["table_IV.png"]
