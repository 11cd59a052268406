"""To the Hugging Face Hub: one way to make a repository and fill it, for datasets, models and metrics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError

RepoType = Literal["model", "dataset", "space"]


def claim_repository(
    repo_id: str, repo_type: RepoType = "model", *, public: bool, public_flag: str = "--public", sdk: str | None = None
) -> str:
    """Makes a repository on the Hub, private unless `public`; one that is there is taken as it is found.

    Args:
        repo_id: `ORG/NAME`.
        repo_type: what it holds.
        public: whether everyone may read it.
        public_flag: what the user says to make it public, for the message.
        sdk: a Space's, such as `gradio`.

    Returns:
        the repository's address.

    Raises:
        ValueError: it is there and public, and that was not asked for, or private where public was; or `repo_id` is
            ill-formed, or the Hub refuses it or is not reached.
    """
    api = HfApi()
    try:
        address = api.create_repo(repo_id, repo_type=repo_type, private=not public, exist_ok=True, space_sdk=sdk)
        private = api.repo_info(repo_id, repo_type=repo_type).private
    except (OSError, ValueError, HTTPError) as error:
        raise ValueError(f"{repo_id!r} cannot be made: {error}") from error
    if private is False and not public:
        raise ValueError(f"{repo_id!r} is there and public: say {public_flag}, or name another")
    if private and public:
        raise ValueError(
            f"{repo_id!r} is there and private: leave out {public_flag}, or open it in its settings first"
        )
    return str(address)


def upload_folder(
    folder: Path,
    repo_id: str,
    repo_type: RepoType = "model",
    *,
    only: Sequence[str] | None = None,
    without: Sequence[str] = (),
    replace: Sequence[str] = (),
) -> None:
    """Uploads a folder into a repository that is there, in one commit.

    Args:
        folder: what is uploaded.
        repo_id: `ORG/NAME`.
        repo_type: what it holds.
        only: glob patterns of the files that go; None for all.
        without: glob patterns of the files that stay behind.
        replace: glob patterns of what the repository loses where the folder does not have it.

    Raises:
        ValueError: the upload failed; the folder is as it was.
    """
    try:
        HfApi().upload_folder(
            folder_path=folder,
            repo_id=repo_id,
            repo_type=repo_type,
            allow_patterns=None if only is None else list(only),
            ignore_patterns=list(without),
            delete_patterns=list(replace),
        )
    except (OSError, ValueError, HTTPError) as error:
        raise ValueError(f"{error}; all is whole in {str(folder)!r}, push it from there") from error
