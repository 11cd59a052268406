"""Each rule on small sentences: what it makes of them, and what it leaves alone."""

import pytest

from datasets_scripts.report_counterfactuals import RULES
from datasets_scripts.report_language import ReportParser


@pytest.fixture(scope="module")
def parser() -> ReportParser:
    return ReportParser()


def edits(parser: ReportParser, kind: str, text: str) -> set[str]:
    return {edit.apply(text) for edit in RULES[kind](next(parser.parse([text])))}


AFFIRMED = [
    ("No pneumothorax.", {"There is a pneumothorax."}),
    ("There is no pleural effusion.", {"There is a pleural effusion."}),
    ("There is no focal consolidation.", {"There is focal consolidation."}),
    ("There are no pleural effusions.", {"There are pleural effusions."}),
    ("There is no evidence of acute infiltrate.", {"There is evidence of acute infiltrate."}),
    ("No evidence of pneumothorax is seen.", {"Evidence of pneumothorax is seen."}),
    ("No typical findings of pulmonary edema.", {"There are typical findings of pulmonary edema."}),
    ("No acute bony abnormality is identified.", {"An acute bony abnormality is identified."}),
    (  # the verb agrees with what is affirmed, or goes
        "No pleural effusion or acute infiltrates are seen.",
        {
            "There is a pleural effusion but no acute infiltrates seen.",
            "Acute infiltrates but no pleural effusion are seen.",
        },
    ),
    ("No focal areas of consolidation.", {"There are focal areas of consolidation."}),
    ("Negative for pneumothorax.", {"Positive for pneumothorax."}),
    ("The lungs are free of focal infiltrate.", {"The lungs show a focal infiltrate."}),
    ("The lungs are clear of infiltrates.", {"The lungs show infiltrates."}),
    ("Hyperexpanded lungs without effusion.", {"Hyperexpanded lungs with an effusion."}),
    ("The spine shows no fracture.", {"The spine shows a fracture."}),
    ("Lungs are clear, and no effusion.", {"Lungs are clear, and there is an effusion."}),
    ("The heart is small otherwise, no effusion.", {"The heart is small otherwise, but there is an effusion."}),
    (  # an adverb alone is no clause to contrast with
        "Otherwise, no effusion or pneumothorax.",
        {
            "Otherwise, there is an effusion but no pneumothorax.",
            "Otherwise, there is a pneumothorax but no effusion.",
        },
    ),
    (
        "No pneumothorax or pleural effusion.",
        {"There is a pneumothorax but no pleural effusion.", "There is a pleural effusion but no pneumothorax."},
    ),
    (
        "There is no consolidation, effusions, or pneumothorax.",
        {
            "There is consolidation but no effusions or pneumothorax.",
            "There are effusions but no consolidation or pneumothorax.",
            "There is a pneumothorax but no consolidation or effusions.",
        },
    ),
    (
        "Negative for pneumothorax or effusion.",
        {
            "Positive for pneumothorax but negative for effusion.",
            "Positive for effusion but negative for pneumothorax.",
        },
    ),
]

DENIED = [
    ("There is a small left pleural effusion.", {"There is no pleural effusion."}),
    ("Mild degenerative changes of the spine.", {"No degenerative changes of the spine."}),
    (
        "A calcified granuloma is seen in the right lower lobe.",
        {"No calcified granuloma is seen in the right lower lobe."},
    ),
    ("Old rib fractures are present.", {"No old rib fractures are present."}),
]


@pytest.mark.parametrize(("text", "expected"), AFFIRMED + DENIED)
def test_presence_becomes_absence_and_absence_presence(parser: ReportParser, text: str, expected: set[str]) -> None:
    assert edits(parser, "negation", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "No XXXX.",
        "No XXXX focal infiltrate.",
        "No effusion or unheard of thing.",  # whether the list goes on is unknown
        "The effusion is unchanged.",
        "Opacity which may represent atelectasis.",
        "Atelectasis or scarring.",
        "A nodule is present. It is calcified.",
        "No effusion. Pleural effusion is not seen.",  # stated twice
        "There is a hiatal hernia. Atelectasis or scar next to the hernia.",
        "The pleural spaces are clear bilaterally. No effusion.",
        "Both lungs are clear and expanded. No infiltrate.",
        "No focal consolidation or airspace opacity.",  # two names of one fact
    ],
)
def test_a_negation_that_is_unclear_or_stated_elsewhere_stays(parser: ReportParser, text: str) -> None:
    assert edits(parser, "negation", text) == set()


def test_clear_lungs_are_edited_where_nothing_else_can_be(parser: ReportParser) -> None:
    assert edits(parser, "negation", "The lungs are clear.") == {"The lungs are not clear."}
    assert edits(parser, "negation", "Lungs: Clear.") == {"Lungs: not Clear."}
    assert edits(parser, "negation", "The lungs are clear, without unheard of things.") == set()
    assert edits(parser, "negation", "The lungs are clear. No effusion.") == {
        "The lungs are clear. There is an effusion."
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nodule in the left upper lobe.", {"Nodule in the right upper lobe."}),
        ("Right effusion.", {"Left effusion."}),
        ("There is a right-sided PICC.", {"There is a left-sided PICC."}),
        ("Bilateral effusions, left greater than right.", {"Bilateral effusions, right greater than left."}),
        ("Leads in the left atrium.", set()),
        ("Opacity obscures the right heart border.", set()),
        ("Atelectasis of the right middle lobe.", set()),
        ("Clips in the right upper quadrant.", set()),
        ("Removal of the right chest tube.", set()),
        ("Feeding tube below the left hemidiaphragm.", set()),
        ("Left base opacity. This is in the lingula.", set()),
        ("No left effusion.", set()),
        ("Absence of a left effusion.", set()),
        ("The left lung is clear.", set()),
        ("Left effusion and right infiltrate.", set()),
        ("Left lateral radiograph.", set()),
        ("Left nodule. Nodule again seen on the left.", set()),
        ("Blunted on the right. Left lung clear.", set()),  # it would be clear and blunted
        ("Nodule at the left apex. The right hemithorax is unremarkable.", set()),
        ("Nodule on the right. Right lung otherwise clear.", {"Nodule on the left. Right lung otherwise clear."}),
        ("Possible right granuloma versus vessel.", set()),
        ("Right lung is hyperexpanded. Tracheal deviation towards the left.", set()),
        ("Status post left pneumonectomy. Opacification of the right hemithorax.", set()),
        ("Left upper lobectomy. Left parahilar scar.", set()),
        ("Left lung: Opacity. Heart: Normal.", {"Right lung: Opacity. Heart: Normal."}),
        ("Left lung: Opacity in the left base.", set()),
        ("Left lung: Opacity. Right lung: Clear.", set()),
        ("Right knee.", set()),  # the heading of another examination
        ("Right shoulder. Heart normal.", set()),
        ("Pneumothorax. This measures 3 cm on the right.", set()),
    ],
)
def test_the_one_side_of_a_sentence_is_swapped(parser: ReportParser, text: str, expected: set[str]) -> None:
    assert edits(parser, "laterality", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nodule in the left upper lobe.", {"Nodule in the left lower lobe."}),
        ("An upper lobe nodule.", {"A lower lobe nodule."}),
        ("A lower lobe nodule.", {"An upper lobe nodule."}),
        ("Scarring in the left midlung.", {"Scarring in the left upper lung.", "Scarring in the left lower lung."}),
        ("Bibasilar atelectasis.", {"Biapical atelectasis."}),
        ("Opacity at the right base.", {"Opacity at the right apex."}),
        ("Heart at upper limits of normal.", set()),
        ("Upper abdomen.", set()),
        ("No upper lobe infiltrate.", set()),
        ("Effusion at the left base.", set()),  # fluid does not lie at the apex
        ("Upper and lower lobe opacities.", set()),
        ("Apical XXXX.", set()),
        ("Basilar atelectasis in the lingula.", set()),
        ("The chin obscures both apices.", set()),
        ("Wedging of a lower thoracic vertebra, T11.", set()),
        ("Upper lobe vascular prominence.", set()),  # redistribution goes up only
    ],
)
def test_the_one_place_of_a_sentence_is_swapped(parser: ReportParser, text: str, expected: set[str]) -> None:
    assert edits(parser, "location", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mild scoliosis.", {"Severe scoliosis."}),
        ("There is a small effusion.", {"There is a large effusion."}),
        ("There is a moderate effusion.", {"There is a minimal effusion."}),
        ("Mildly tortuous aorta.", {"Severely tortuous aorta."}),
        ("No large effusion.", set()),
        ("Mild to moderate scoliosis.", set()),
        ("Small bowel gas.", set()),
        ("Stool in the large colon.", set()),
        ("Minimal early degenerative change.", set()),
        ("Small XXXX.", set()),
        ("Small 8 mm nodule.", set()),
        ("The heart is mildly enlarged.", set()),  # the size of the heart is a kind of its own
        ("Mild cardiomegaly.", set()),
        ("Heart: Mildly enlarged.", set()),
        ("The patient is mildly rotated.", set()),
        ("Small effusion or scar. Negative for effusion.", set()),
        ("Mild scoliosis. Scoliosis is mild.", set()),
    ],
)
def test_a_degree_is_turned_round(parser: ReportParser, text: str, expected: set[str]) -> None:
    assert edits(parser, "severity", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Heart size is normal.", "Heart size is enlarged."),
        ("Heart size normal.", "Heart size enlarged."),
        ("The heart is normal in size and contour.", "The heart is enlarged."),
        ("Heart and mediastinum of normal size and contour.", "Heart and mediastinum enlarged."),
        ("The cardiomediastinal silhouette is within normal limits.", "The cardiomediastinal silhouette is enlarged."),
        ("Heart size and pulmonary vascularity are normal.", "Heart size and pulmonary vascularity are increased."),
        ("The heart is at the upper limits of normal.", "The heart is markedly enlarged."),
        ("Normal heart size.", "Enlarged heart."),
        ("There is a normal cardiac silhouette.", "There is an enlarged cardiac silhouette."),
        ("The heart is not enlarged.", "The heart is enlarged."),
        ("The heart is mildly enlarged.", "The heart is normal in size."),
        ("Heart size is enlarged.", "Heart size is normal."),
        ("There is an enlarged heart.", "There is a normal heart."),
        ("There is mild cardiomegaly.", "There is no cardiomegaly."),
        ("Stable cardiomegaly.", "No cardiomegaly."),
        ("Cardiomegaly with vascular congestion.", "Normal heart size with vascular congestion."),
        ("No cardiomegaly.", "Cardiomegaly."),
        ("Moderate enlargement of the heart.", "Normal size of the heart."),
        ("Heart: Normal in size.", "Heart: enlarged."),
        ("Heart: Mildly enlarged.", "Heart: normal in size."),
        ("Heart: Mild cardiomegaly.", "Heart: No cardiomegaly."),
    ],
)
def test_heart_size_is_turned_round(parser: ReportParser, text: str, expected: str) -> None:
    assert edits(parser, "heart_size", text) == {expected}


@pytest.mark.parametrize(
    "text",
    [
        "The heart is normal in size. Normal cardiac silhouette.",  # both had to change
        "The lungs and heart are normal.",
        "The mediastinum is normal.",
        "Cardiomegaly may be present.",
        "Heart size is stable.",
        "Normal heart size mediastinal contours.",  # something was lost here
    ],
)
def test_a_heart_size_that_is_unclear_or_stated_twice_stays(parser: ReportParser, text: str) -> None:
    assert edits(parser, "heart_size", text) == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "There is a small right pleural effusion.",
            {f"There is a small right {name}." for name in ("pneumothorax", "pleural plaque", "pleural mass")},
        ),
        (
            "There are degenerative changes of the spine.",
            {
                f"There are {name} of the spine."
                for name in ("compression fractures", "wedge deformities", "sclerotic lesions", "lytic lesions")
            },
        ),
        (  # without a verb, `scoliosis` can stand for a plural; `minimal compression fractures` would give itself away
            "Minimal degenerative changes of the spine.",
            {f"Minimal {name} of the spine." for name in ("wedge deformities", "scoliosis", "kyphosis")},
        ),
        ("There is tortuosity of the aorta.", {"There is atherosclerosis of the aorta."}),
        ("Tortuosity of the trachea.", set()),
        ("There is an aortic aneurysm.", {"There is a hiatal hernia."}),
        ("Large hiatal hernia. Normal cardiomediastinal silhouette.", set()),  # no aortic aneurysm then
        ("Large hiatal hernia. The heart and mediastinum are unremarkable.", set()),
        ("Large hiatal hernia. The aorta is normal.", set()),
        ("No pneumothorax.", set()),  # another denial contradicts nothing
        ("Large hiatal hernia. Aortic aneurysm is not seen.", set()),
        ("Hiatal hernia. Stable hiatal hernia.", set()),
        ("Opacity may represent pneumonia.", set()),
        ("Pneumonia or atelectasis.", set()),
        ("Consolidation, likely infectious.", set()),
        ("Arthritic changes of the shoulders.", set()),
        ("Hiatal hernia. This is unchanged.", set()),  # the next sentence is about it
        ("There is a moderate effusion.", {"There is a moderate pneumothorax."}),
    ],
)
def test_a_finding_gives_way_to_one_the_report_does_not_speak_of(
    parser: ReportParser, text: str, expected: set[str]
) -> None:
    assert edits(parser, "finding", text) == expected


def test_a_finding_that_the_report_denies_does_not_come_in(parser: ReportParser) -> None:
    texts = edits(parser, "finding", "Small pleural effusion. No pneumothorax.")

    assert texts == {f"Small pleural {name}. No pneumothorax." for name in ("plaque", "mass")}


def test_a_nodule_does_not_become_a_mass(parser: ReportParser) -> None:
    texts = edits(parser, "finding", "A nodule is present.")

    assert "A cavity is present." in texts
    assert not any("mass" in text or "granuloma" in text for text in texts)
