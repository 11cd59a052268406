import pytest

from datasets_scripts.report_sentences import SentenceSplitter, has_letter


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("The heart is normal. No effusion!", ["the heart is normal", "no effusion"]),
        ("A 2.5 cm nodule in the left upper lobe.", ["a 2 5 cm nodule in the left upper lobe"]),
        ("1. Clear lungs. 2. No effusion.", ["clear lungs", "no effusion"]),
        ("No end here", ["no end here"]),
        ("Clear lungs.\n\n...  ", ["clear lungs"]),
        ("42 .", []),
        ("", []),
    ],
)
def test_a_report_is_split_at_its_sentence_ends_and_normalised(text: str, sentences: list[str]) -> None:
    assert SentenceSplitter().split(text) == sentences
    assert has_letter(text) == bool(sentences)


def test_no_text_has_no_sentence() -> None:
    assert not has_letter(None)
