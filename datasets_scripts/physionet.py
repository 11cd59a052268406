"""The licence under which PhysioNet shares MIMIC-CXR, MedNLI and RadNLI with those whom it credentialed."""

PHYSIONET_LICENCE = "physionet-credentialed-health-data-license-1.5.0"
"""Its name, as cards write it."""

PHYSIONET_TERMS = (
    "Shared under the PhysioNet Credentialed Health Data License 1.5.0 with those who signed the data use agreement:"
    " neither the data nor this dataset, which is made of them, may be shared with others."
)


def licence_page(project: str, version: str) -> str:
    """The address of the licence of a version of a project."""
    return f"https://physionet.org/content/{project}/view-license/{version}/"
