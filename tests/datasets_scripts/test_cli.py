"""`python -m datasets_scripts`: the table of perturbations, and the dispatch to builders."""

import argparse
import sys
from types import ModuleType

import pytest

from datasets_scripts import __main__ as cli
from datasets_scripts.perturb_command import render
from datasets_scripts.perturbations import PERTURBATIONS

REPORT = "The lungs are clear. There is no pleural effusion."


def stars(word: str) -> str:
    return f"*{word}*"


def test_perturb_prints_the_original_and_the_nine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert cli.main(["perturb", REPORT]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert tuple(rows) == ("original", *PERTURBATIONS)
    assert rows["original"] == "the lungs are clear there is no pleural effusion"
    assert rows["replace_adjectives_with_antonyms"] == "the lungs are *unclear* there is no pleural effusion"


def test_perturb_takes_a_seed(capsys: pytest.CaptureFixture[str]):
    outputs = []
    for seed in ("0", "1"):
        cli.main(["perturb", "--seed", seed, REPORT])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] != outputs[1]


def test_perturb_colors_changed_words_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    cli.main(["perturb", REPORT])
    assert "are \x1b[1;33munclear\x1b[0m there" in capsys.readouterr().out


def test_table_wraps_under_the_text_and_counts_no_escape_codes():
    table = render("a b c d", {"name": "b a d c"}, width=55, mark=lambda word: f"\x1b[1m{word}\x1b[0m")
    assert len(table.splitlines()) == 2
    words = ["word"] * 20
    wrapped = render(" ".join(words), {}, width=60, mark=stars).splitlines()
    assert all(len(line) <= 60 for line in wrapped)
    assert wrapped[1].startswith(" " * len("original  ") + "word")


def test_table_puts_names_on_their_own_lines_where_it_is_narrow():
    assert render("a b", {"swap_adjacent_words": "b a"}, width=40, mark=stars).splitlines() == [
        "original",
        "  a b",
        "swap_adjacent_words",
        "  *b* *a*",
    ]


def test_table_says_where_nothing_changed():
    assert render("a b", {"name": "a b"}, width=80, mark=stars).splitlines()[1] == "name      (unchanged)"


@pytest.mark.parametrize("arguments", [["perturb", "..."], ["perturb", "clear", "--spacy_model", "en_none"]])
def test_bad_input_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str], arguments: list[str]):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.fixture
def corpus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A builder called `corpus`, whose `seen` keeps the arguments and whose `outcome` is raised or returned."""
    module = ModuleType("corpus_builder", "Build the corpus.")
    module.seen, module.outcome = [], None

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--out", required=True)

    def run(args: argparse.Namespace) -> int | None:
        module.seen.append(args.out)
        if isinstance(module.outcome, BaseException):
            raise module.outcome
        return module.outcome

    module.add_arguments, module.run = add_arguments, run
    monkeypatch.setitem(sys.modules, "corpus_builder", module)
    monkeypatch.setattr(cli, "BUILDERS", {"corpus": "corpus_builder", "other": "no_such_module"})
    return module


def test_build_hands_the_arguments_to_the_builder_and_imports_no_other(corpus: ModuleType):
    assert cli.main(["build", "corpus", "--out", "folder"]) == 0
    assert corpus.seen == ["folder"]


def test_build_returns_the_builders_status(corpus: ModuleType):
    corpus.outcome = 3
    assert cli.main(["build", "corpus", "--out", "folder"]) == 3


@pytest.mark.parametrize("error", [ValueError("two\nlines"), FileNotFoundError("two lines")])
def test_a_builders_bad_input_ends_in_status_2(
    corpus: ModuleType, capsys: pytest.CaptureFixture[str], error: Exception
):
    corpus.outcome = error
    assert cli.main(["build", "corpus", "--out", "folder"]) == 2
    assert capsys.readouterr().err == "error: two lines\n"


def test_a_fault_of_the_program_keeps_its_traceback(corpus: ModuleType):
    corpus.outcome = KeyError("fault")
    with pytest.raises(KeyError):
        cli.main(["build", "corpus", "--out", "folder"])


def test_ctrl_c_ends_a_build_in_one_line_that_says_how_it_goes_on(
    corpus: ModuleType, capsys: pytest.CaptureFixture[str]
):
    corpus.outcome = KeyboardInterrupt()
    assert cli.main(["build", "corpus", "--out", "folder"]) == 130
    assert capsys.readouterr().err == "interrupted; the same command goes on where it stopped\n"


def test_ctrl_c_ends_what_does_not_go_on_in_one_word(
    corpus: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    corpus.outcome = KeyboardInterrupt()
    monkeypatch.setattr(cli, "COMMANDS", {"show": ("corpus_builder", "not a build")})
    assert cli.main(["show", "--out", "folder"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_ctrl_c_while_a_command_is_imported_is_one_line_too(
    corpus: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupt(name: str) -> ModuleType:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "import_module", interrupt)
    assert cli.main(["build", "corpus", "--out", "folder"]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_build_help_lists_the_builders(corpus: ModuleType, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["build", "--help"])
    out = capsys.readouterr().out
    assert "corpus" in out
    assert "other" in out


def test_each_corpus_has_its_builder():
    corpora = {"openi", "table", "mimic_cxr", "chexpert", "mednli", "radnli"}
    assert set(cli.BUILDERS) == {*corpora, "phantom", "phantom_nli", "phantom_chexpert"}


@pytest.mark.parametrize("name", cli.BUILDERS)
def test_a_builder_says_its_arguments(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["build", name, "--help"])

    assert "--out" in capsys.readouterr().out
