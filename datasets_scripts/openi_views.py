"""The views of Open-I's images, which the NLM does not give: from Kaggle's `indiana_projections.csv`."""

from pathlib import Path

from .input_files import read_csv
from .openi_images import image_id_of_file

FRONTAL, LATERAL = "Frontal", "Lateral"


def read_views(path: Path) -> dict[str, str]:
    """Read the view, `FRONTAL` or `LATERAL`, of each image that the file lists.

    Raises:
        ValueError: a column is missing, a file name is none of a PNG image, a projection is another, or an image
            stands there with both; the file and the line are named.
        OSError: the file cannot be read.
    """
    views: dict[str, str] = {}
    for where, row in read_csv(path, ("filename", "projection")):
        name, view = row["filename"], row["projection"]
        if not name.lower().endswith(".png"):
            raise ValueError(f"{where}: filename is {name!r}; it is the name of a PNG image")
        if view not in (FRONTAL, LATERAL):
            raise ValueError(f"{where}: projection is {view!r}; it is {FRONTAL} or {LATERAL}")
        if views.setdefault(image_id_of_file(name), view) != view:
            raise ValueError(f"{where}: {name} is {view} here and {views[image_id_of_file(name)]} above; keep one")
    return views
