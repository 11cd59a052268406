import pytest
from torch.utils.data import DataLoader

from training.errors import InputError, one_line_errors


def fail(rows: list[int]) -> None:
    raise InputError(f"image {rows[0]} does\nnot decode")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_input_error_is_one_line_and_status_2_from_a_worker_too(workers: int, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_info, one_line_errors(InputError):
        list(DataLoader([3], collate_fn=fail, num_workers=workers))
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == "error: image 3 does not decode\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(KeyError), one_line_errors(InputError):
        raise KeyError("a bug")
