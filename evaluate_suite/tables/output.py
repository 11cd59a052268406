"""Writing the tables: numbers, page and charts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..figures import save
from ..output import FIGURES, replaced_files
from .charts import chart
from .pages import page


def write_tables(tree: Mapping[str, Any], out: Path) -> None:
    """Writes `tables.json`, `tables.md` and `figures/table_*.png`, over those of an earlier call.

    Args:
        tree: what `assemble` gave.
        out: the folder.

    Raises:
        OSError: something cannot be written; the message names the folder.
    """
    with replaced_files(out / FIGURES) as folder:
        for each in tree["tables"]:
            save(chart(each), folder)
    with replaced_files(out) as folder:
        (folder / "tables.json").write_text(json.dumps(tree, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        (folder / "tables.md").write_text(page(tree), encoding="utf-8")
