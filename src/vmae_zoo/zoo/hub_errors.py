"""What goes wrong with a Hugging Face Hub, in one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


class OutOfReachError(ValueError):
    """The Hub does not answer, and the cache has not what was asked for."""


@contextmanager
def explained(repo: str, endpoint: str, revision: str | None = None) -> Iterator[None]:
    """Turn what the client raises into one sentence; a token is in none of them."""
    place = f"{repo} at {plain(endpoint)}"
    try:
        yield
    except GatedRepoError:
        raise ValueError(
            f"{place} is gated: ask for access on its page, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"{place} does not exist, or is private and no token with access to it was given: check the name, "
            "log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise ValueError(f"{place} has no revision {revision!r}: give a branch, a tag or a full commit sha") from None
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise _out_of_reach(place, error) from None
    except EntryNotFoundError:
        raise ValueError(f"{place} lacks a file that its own listing names: try again, or another revision") from None
    except HFValidationError:
        raise ValueError(f"{repo!r} is no name of a repository: write org/name") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        cure = {
            401: "the token is not valid: log in with `hf auth login` or set HF_TOKEN",
            403: "the token may not do this: give one that may write to it",
        }.get(status, "try again later")
        raise ValueError(f"{place} answers with status {status}: {cure}") from None
    except Exception as error:
        if not is_network(error):
            raise
        raise _out_of_reach(place, error) from None


def is_network(error: Exception) -> bool:
    """Whether it is the connection that failed."""
    return isinstance(error, ConnectionError) or type(error).__module__.startswith("httpx")


def _out_of_reach(place: str, error: Exception) -> OutOfReachError:
    return OutOfReachError(
        f"{place} cannot be reached ({type(error).__name__}) and the cache does not have it: "
        "connect once and pull it, or give a local file"
    )


def plain(endpoint: str) -> str:
    """An address without a user and password in it."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
