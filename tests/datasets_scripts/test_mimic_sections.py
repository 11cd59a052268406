import pytest

from datasets_scripts.mimic_sections import ReportSections, parse_sections

# In the layout of the published texts: each line begins with a space, blank lines hold one.
REPORT = "\n".join(
    (
        "                                 FINAL REPORT",
        " EXAMINATION:  CHEST (PA AND LAT)",
        " ",
        " INDICATION:  ___F with cough  // eval for pneumonia",
        " ",
        " COMPARISON:  None.",
        " ",
        " FINDINGS: ",
        " ",
        " Lungs are clear.  No effusion is seen",
        " compared to ___.",
        " ",
        " IMPRESSION: ",
        " ",
        " No acute process.",
    )
)


def test_findings_and_impression_are_kept_as_written() -> None:
    assert parse_sections(REPORT) == ReportSections(
        findings="Lungs are clear.  No effusion is seen\n compared to ___.", impression="No acute process."
    )


def test_a_report_of_impression_alone_has_no_findings_and_no_last_paragraph() -> None:
    text = " FINAL REPORT\n HISTORY: Fall.\n \n IMPRESSION: No fracture.\n"

    assert parse_sections(text) == ReportSections(impression="No fracture.")


def test_without_either_it_is_what_follows_the_first_paragraph_of_the_last_section() -> None:
    text = " FINAL REPORT\n INDICATION: Cough.\n \n The lungs are clear.\n \n No effusion.\n"

    assert parse_sections(text) == ReportSections(last_paragraph="The lungs are clear.\n \n No effusion.")


def test_an_empty_impression_does_not_count_as_the_last_section() -> None:
    text = " FINAL REPORT\n INDICATION: Cough.\n \n Clear lungs.\n \n IMPRESSION: \n \n"

    assert parse_sections(text) == ReportSections(last_paragraph="Clear lungs.")


def test_a_text_without_headings_is_one_section() -> None:
    assert parse_sections(" FINAL REPORT\n \n Clear lungs.\n") == ReportSections(last_paragraph="Clear lungs.")


@pytest.mark.parametrize("text", ["", " FINAL REPORT", " INDICATION: Cough.\n", " FINAL REPORT\n \n"])
def test_a_text_that_says_nothing_has_no_section(text: str) -> None:
    assert parse_sections(text) == ReportSections()


def test_the_last_section_of_a_kind_that_has_text_counts() -> None:
    text = "\n FINDINGS: First.\n \n FINDINGS: Second.\n \n FINDINGS:\n \n IMPRESSION: Third.\n"

    assert parse_sections(text) == ReportSections(findings="Second.", impression="Third.")


@pytest.mark.parametrize("heading", ["CHEST, TWO VIEWS", "PORTABLE AP CHEST RADIOGRAPH", "FINDING", "RIBS", "FINDNGS"])
def test_a_heading_that_names_the_examination_or_is_misspelt_stands_over_findings(heading: str) -> None:
    assert parse_sections(f"\n {heading}: Clear.\n").findings == "Clear."


@pytest.mark.parametrize("heading", ["CONCLUSION", "FINDINGS/IMPRESSION", "FINDINGS AND IMPRESSION", "IMPRESSON"])
def test_conclusions_and_joint_sections_are_impressions(heading: str) -> None:
    assert parse_sections(f"\n {heading}: Clear.\n").impression == "Clear."


@pytest.mark.parametrize(
    "heading", ["CHEST HISTORY", "COMPARISON CHEST", "ADDENDUM TO CHEST", "TECHNIQUE", "WET READ"]
)
def test_other_headings_stand_over_neither(heading: str) -> None:
    assert parse_sections(f"\n {heading}: Clear.\n") == ReportSections()


def test_a_colon_within_a_sentence_or_after_small_letters_is_no_heading() -> None:
    text = "\n FINDINGS: Two views.\n Impression: none. Note AP: portable.\n"

    assert parse_sections(text).findings == "Two views.\n Impression: none. Note AP: portable."


def test_lines_without_the_leading_space_are_read_too() -> None:
    assert parse_sections("FINDINGS: Clear.\n\nIMPRESSION: Normal.\n") == ReportSections("Clear.", "Normal.")
