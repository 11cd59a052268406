import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_scripts.openi_mesh import _FINDING_RULES, _LABEL_RULES, _PARENTS, labels_from_mesh, state_from_mesh
from datasets_scripts.phantom_state import FINDINGS, PhantomState
from datasets_scripts.schema import CHEXPERT_LABELS

PATHOLOGIES = [name for name in CHEXPERT_LABELS if name not in ("No Finding", "Support Devices")]


def state(*codes: str, seed: int = 0) -> PhantomState:
    return state_from_mesh(codes, np.random.default_rng(seed))


def test_normal_means_no_finding_and_no_pathology_but_leaves_devices_open() -> None:
    assert labels_from_mesh(["normal"]) == {"No Finding": 1.0, **dict.fromkeys(PATHOLOGIES, 0.0)}


@pytest.mark.parametrize("codes", [[], ["No Indexing"], ["Scoliosis/mild"]])
def test_codes_without_a_chexpert_finding_leave_every_label_open(codes: list[str]) -> None:
    assert labels_from_mesh(codes) == {}


@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("Pleural Effusion/left/small", "Pleural Effusion"),
        ("Pneumothorax/right/apex", "Pneumothorax"),
        ("Fractures, Bone/ribs/left/healed", "Fracture"),
        ("Thickening/pleura/apex/bilateral", "Pleural Other"),
        ("Mediastinum/enlarged", "Enlarged Cardiomediastinum"),
        ("Opacity/lung/base/left", "Lung Opacity"),
    ],
)
def test_a_named_finding_is_present_and_no_finding_is_absent(code: str, label: str) -> None:
    assert labels_from_mesh([code]) == {label: 1.0, "No Finding": 0.0}


@pytest.mark.parametrize(("child", "parent"), _PARENTS.items())
def test_a_child_in_chexpert_s_hierarchy_brings_its_parent(child: str, parent: str) -> None:
    heading, qualifier = next(
        (rule.heading, next(iter(rule.qualifiers), "left")) for rule in _LABEL_RULES if rule.target == child
    )

    assert labels_from_mesh([f"{heading}/{qualifier}"]) == {child: 1.0, parent: 1.0, "No Finding": 0.0}


def test_both_findings_of_a_hydropneumothorax_are_present() -> None:
    labels = labels_from_mesh(["Hydropneumothorax/right"])

    assert labels == {"Pneumothorax": 1.0, "Pleural Effusion": 1.0, "No Finding": 0.0}


def test_a_borderline_finding_is_uncertain_unless_another_code_names_it() -> None:
    codes = ["Cardiomegaly/borderline", "Cardiac Shadow/enlarged"]

    assert labels_from_mesh(codes[:1]) == {"Cardiomegaly": -1.0}
    assert labels_from_mesh(codes)["Cardiomegaly"] == labels_from_mesh(codes[::-1])["Cardiomegaly"] == 1.0


@pytest.mark.parametrize("codes", [["normal", "Fractures, Bone"], ["Fractures, Bone", "normal"]])
def test_a_named_finding_prevails_over_normal(codes: list[str]) -> None:
    labels = labels_from_mesh(codes)

    assert (labels["Fracture"], labels["No Finding"], labels["Edema"]) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize("code", ["Opacity/ribs", "Nodule/pleura", "Cardiac Shadow/prominent", "Thickening/lung"])
def test_a_finding_of_another_place_or_kind_does_not_count(code: str) -> None:
    assert labels_from_mesh([code]) == {}


def test_devices_alone_leave_no_finding_open() -> None:
    assert labels_from_mesh(["Catheters, Indwelling/right"]) == {"Support Devices": 1.0}


def test_rules_name_labels_and_findings_that_exist() -> None:
    assert {rule.target for rule in _LABEL_RULES} <= set(CHEXPERT_LABELS)
    assert {rule.target for rule in _FINDING_RULES} <= set(FINDINGS)


def test_a_normal_report_shows_nothing() -> None:
    assert state("normal") == PhantomState()


@pytest.mark.parametrize(
    ("code", "name", "coded"),
    [
        ("Pleural Effusion/left/small", "effusion", {"side": "left", "size": "small"}),
        ("Pleural Effusion/right/severe", "effusion", {"side": "right", "size": "large"}),
        ("Costophrenic Angle/left/blunted", "effusion", {"side": "left", "size": "small"}),
        ("Pneumothorax/right/apex/large", "pneumothorax", {"side": "right", "size": "large"}),
        ("Mass/lung/upper lobe/right", "nodule", {"side": "right", "zone": "upper", "size": "large"}),
        ("Pulmonary Atelectasis/base/left/mild", "atelectasis", {"side": "left", "zone": "lower", "size": "small"}),
        ("Opacity/lung/lingula/small", "consolidation", {"side": "left", "zone": "mid", "size": "small"}),
        ("Consolidation/lung/middle lobe", "consolidation", {"side": "right", "zone": "mid", "size": "large"}),
        ("Pulmonary Edema/moderate", "edema", {"size": "severe"}),
        ("Calcified Granuloma/lung/upper lobe/left", "granuloma", {"side": "left", "zone": "upper"}),
        ("Implanted Medical Device/left", "pacemaker", {"side": "left"}),
        ("Implanted Medical Device/humerus/left", "shoulder_prosthesis", {"side": "left"}),
        ("Surgical Instruments/mediastinum", "sternal_wires", {}),
        ("Surgical Instruments/abdomen", "surgical_clips", {}),
        ("Surgical Instruments/abdomen/right", "surgical_clips", {}),
        ("Tube, Inserted/trachea", "endotracheal_tube", {"zone": "trachea"}),
        ("Tube, Inserted/trachea, carina", "endotracheal_tube", {"zone": "trachea"}),
        ("Fractures, Bone/ribs/right/healed", "rib_fracture", {"side": "right"}),
        ("Scoliosis/thoracic vertebrae/right/mild", "scoliosis", {"side": "right"}),
        ("Aorta/tortuous", "tortuous_aorta", {}),
    ],
)
def test_side_zone_and_size_come_from_the_code(code: str, name: str, coded: dict[str, str]) -> None:
    for seed in range(8):
        (finding,) = state(code, seed=seed).findings
        assert finding.name == name
        assert {attribute: getattr(finding, attribute) for attribute in coded} == coded


def test_the_first_of_two_codes_for_a_finding_is_drawn() -> None:
    assert state("Pleural Effusion/left/small", "Pleural Effusion/right/large") == state("Pleural Effusion/left/small")


def test_what_the_code_leaves_open_is_drawn() -> None:
    drawn = {state("Nodule/lung/round", seed=seed).findings[0] for seed in range(60)}

    assert {finding.side for finding in drawn} == {"left", "right"}
    assert {finding.zone for finding in drawn} == {"upper", "mid", "lower"}
    assert {finding.size for finding in drawn} == {"small"}


@pytest.mark.parametrize(
    ("codes", "heart"),
    [
        (["Cardiomegaly/severe"], "severe"),
        (["Cardiomegaly/borderline"], "mild"),
        (["Cardiac Shadow/enlarged/moderate"], "moderate"),
        (["Cardiac Shadow/obscured"], "normal"),
    ],
)
def test_the_heart_has_the_coded_size(codes: list[str], heart: str) -> None:
    assert state(*codes).heart == heart


def test_cardiomegaly_without_a_grade_is_some_enlarged_heart() -> None:
    assert {state("Cardiomegaly", seed=seed).heart for seed in range(60)} == {"mild", "moderate", "severe"}


@pytest.mark.parametrize(("code", "volume"), [("Lung/hypoinflation/mild", "low"), ("Lung/hyperdistention", "high")])
def test_lung_volume_comes_from_the_code(code: str, volume: str) -> None:
    assert state(code).lung_volume == volume


def test_a_device_elsewhere_is_no_pacemaker() -> None:
    assert state("Implanted Medical Device/aortic valve") == PhantomState()


@pytest.mark.parametrize("place", ["breast/right", "lung/hilum/right", "thorax", "abdomen/left", "right"])
def test_clips_outside_the_right_upper_abdomen_are_not_drawn(place: str) -> None:
    assert state(f"Surgical Instruments/{place}") == PhantomState()


_HEADINGS = sorted({rule.heading for rule in (*_LABEL_RULES, *_FINDING_RULES)} | {"normal", "Lung", "No Indexing"})
_QUALIFIERS = ["left", "right", "bilateral", "lung", "base", "apex", "lingula", "small", "mild", "severe", "enlarged"]
_QUALIFIERS += [
    "round",
    "streaky",
    "borderline",
    "pleura",
    "tortuous",
    "hypoinflation",
    "trachea",
    "abdomen",
    "ribs",
    "humerus",
]
_CODES = st.builds(
    lambda heading, qualifiers: "/".join([heading, *qualifiers]),
    st.sampled_from(_HEADINGS),
    st.lists(st.sampled_from(_QUALIFIERS), max_size=4),
)


@given(st.lists(_CODES, max_size=6), st.integers(0, 2**32))
def test_any_codes_give_a_valid_state_and_labels(codes: list[str], seed: int) -> None:
    assert state(*codes, seed=seed) == state(*codes, seed=seed)
    labels = labels_from_mesh(codes)
    assert set(labels) <= set(CHEXPERT_LABELS)
    assert set(labels.values()) <= {1.0, 0.0, -1.0}
    assert not (labels.get("No Finding") == 1.0 and any(labels.get(name) == 1.0 for name in PATHOLOGIES))
