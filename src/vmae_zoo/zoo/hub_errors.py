"""Errors of a Hugging Face Hub, in one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import errors

NOT_CACHED = " and is not in the cache: connect once and pull it, or give a local file"


class HubUnreachableError(ValueError):
    """The Hub does not answer."""


@contextmanager
def friendly_errors(
    repo: str, endpoint: str, revision: str | None = None, unreachable: str = NOT_CACHED
) -> Iterator[None]:
    """Turn exceptions of the client into a ``ValueError`` of one sentence, which contains no token."""
    where = f"{repo} at {redact(endpoint)}"
    try:
        yield
    except errors.GatedRepoError:
        raise ValueError(
            f"{where} is gated: ask for access on its page, then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ValueError(
            f"{where} does not exist, or is private and no token with access to it was given: check the name, "
            "log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"{where} has no revision {revision!r}: give a branch, a tag or a full commit sha") from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise HubUnreachableError(f"{where} cannot be reached ({type(error).__name__}){unreachable}") from None
    except errors.EntryNotFoundError:
        raise ValueError(f"{where} has no file that its listing contains: try again, or another revision") from None
    except errors.HFValidationError:
        raise ValueError(f"{repo!r} is not the name of a repository: write org/name") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        cure = {
            401: "the token is not valid: log in with `hf auth login` or set HF_TOKEN",
            403: "the token has no permission for this: use one with write access",
        }.get(status, "try again later")
        raise ValueError(f"{where} answers with status {status}: {cure}") from None
    except Exception as error:
        if not is_network_error(error):
            raise
        raise HubUnreachableError(f"{where} cannot be reached ({type(error).__name__}){unreachable}") from None


def is_network_error(error: Exception) -> bool:
    """Whether the connection failed."""
    return isinstance(error, ConnectionError) or type(error).__module__.startswith("httpx")


def redact(endpoint: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
