"""The licence under which PhysioNet shares MIMIC-CXR, MedNLI and RadNLI."""

PHYSIONET_LICENCE = (
    "Licence: PhysioNet Credentialed Health Data License 1.5.0 (`other` on the Hub). It is for those who signed the"
    " data use agreement: neither the data nor this dataset, which is made of them, may be shared with others."
)
