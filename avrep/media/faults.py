"""Which faults of a store may pass, how long it asks one to wait, and one line that says what it was.

Libraries are known by the names of their errors, not by import: a corpus on a disk needs neither
aiohttp nor botocore.
"""

import errno
import re
from collections.abc import Iterator
from typing import Any

# 408 and 425: the server gave up waiting for us; 429: too many requests.
_PASSING_STATUSES = frozenset(
    {408, 425, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524}
)
# What aiohttp gives a status of 400 though the server said no such thing: it sent no proper HTTP.
_NO_ANSWERS = frozenset({"aiohttp.HttpProcessingError"})
# aiohttp's, Azure's and Google's.
_STATUS_NAMES = ("status", "status_code", "code")
# S3 says some of these with a status of 400.
_PASSING_CODES = frozenset(
    {"InternalError", "RequestLimitExceeded", "RequestTimeout", "SlowDown", "Throttling"}
)
_REFUSED_STATUSES = frozenset({401, 403, 407})
_MISSING_STATUSES = frozenset({404, 410})
_PASSING_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.ENETDOWN,
        errno.ENETRESET,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
_PASSING_ERRORS = frozenset(
    {
        "aiohttp.ClientConnectionError",
        "aiohttp.ClientPayloadError",
        "botocore.ConnectionError",
        "botocore.FlexibleChecksumError",
        "botocore.HTTPClientError",
        "botocore.IncompleteReadError",
        "botocore.ResponseParserError",
        "http.HTTPException",
        "urllib3.HTTPError",
    }
)
# Kinds of the above that a second attempt meets again: certificates.
_LASTING_ERRORS = frozenset(
    {"aiohttp.ServerFingerprintMismatch", "botocore.SSLError", "ssl.SSLCertVerificationError"}
)
_SECRETS = (
    (re.compile(r"(\w://)[^/\s@]*@"), r"\1"),
    (re.compile(r"(\w://[^\s?'\"]*)\?[^\s'\",]*"), r"\1?..."),
)


class PassingFault(Exception):
    """The store answered, but not with the object's bytes; the next answer may be the right one."""


class LastingFault(Exception):
    """The store answered that the bytes cannot be had; asking again gives the same answer."""


def may_pass(error: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    chain = list(_chain(error))
    said = next((e.response for e in chain if _has_s3_response(e)), None)
    if said is not None:
        # Goes before the OSError that s3fs makes of it: whatever it does not know becomes EIO.
        is_passing_code = said.get("Error", {}).get("Code") in _PASSING_CODES
        return is_passing_code or status_of(error) in _PASSING_STATUSES
    for e in chain:
        if isinstance(e, LastingFault) or _is_one_of(e, _LASTING_ERRORS):
            return False
        if (status := _status(e)) is not None:
            return status in _PASSING_STATUSES
        if (
            isinstance(e, PassingFault | TimeoutError | ConnectionError)
            or (isinstance(e, OSError) and e.errno in _PASSING_ERRNOS)
            or _is_one_of(e, _PASSING_ERRORS)
        ):
            return True
        # Undecided, on to its cause: fsspec takes any failure of an HTTP request for a size to mean
        # that there is no such file.
    return False


def is_missing(error: Exception) -> bool:
    """Whether the store says that there is no such object."""
    status = status_of(error)
    if status is not None:
        return status in _MISSING_STATUSES
    return isinstance(error, FileNotFoundError | NotADirectoryError) and not may_pass(error)


def status_of(error: Exception) -> int | None:
    """The HTTP status that the store answered with, where it did and the error still knows."""
    return next((status for e in _chain(error) if (status := _status(e)) is not None), None)


def asked_wait_s(error: Exception) -> float:
    """How long the store asks to be left alone (its Retry-After, in seconds); 0 where it does not."""
    for e in _chain(error):
        if _has_s3_response(e):
            headers = e.response.get("ResponseMetadata", {}).get("HTTPHeaders")
        else:
            headers = getattr(e, "headers", None)
        text = str((headers or {}).get("retry-after", ""))
        if text.isdecimal():
            return float(text)
    return 0.0


def reason_of(error: Exception) -> str:
    """What went wrong and what may mend it, in one line without passwords or signatures."""
    if isinstance(error, PassingFault | LastingFault):
        return without_secrets(str(error))
    status = status_of(error)
    if is_missing(error):
        return "there is no such object; was it moved or deleted since it was indexed?"
    if status in _REFUSED_STATUSES or (status is None and isinstance(error, PermissionError)):
        number = f" (HTTP {status})" if status else ""
        return f"access is refused{number}; check the credentials and the object's permissions"
    if status == 416:
        return "the object ends before these bytes; was it changed since it was indexed?"
    if isinstance(error, ImportError):
        return f"{_text(error)}; for s3:// that is the extra avrep[s3]"
    return f"HTTP {status}, {_text(error)}" if status else _text(error)


def without_secrets(text: str) -> str:
    """The text without the user's part and the query of the URLs in it, which may hold keys."""
    for pattern, kept in _SECRETS:
        text = pattern.sub(kept, text)
    return text


def _text(error: Exception) -> str:
    # fsspec's own errors of time have no words, but the error that they are raised from may.
    for e in _chain(error):
        is_answer = _is_one_of(e, frozenset({"aiohttp.ClientResponseError"}))
        words = without_secrets(" ".join(str(e.message if is_answer else e).split()))
        if words:
            return f"{type(e).__name__}: {words}"
    return "it took too long" if isinstance(error, TimeoutError) else type(error).__name__


def _chain(error: BaseException) -> Iterator[Any]:
    """The error and what it was raised from."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _has_s3_response(error: BaseException) -> bool:
    return isinstance(getattr(error, "response", None), dict)


def _status(error: Any) -> int | None:
    if _has_s3_response(error):
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if _is_one_of(error, _NO_ANSWERS):
        return None
    for name in _STATUS_NAMES:
        status = getattr(error, name, None)
        if isinstance(status, int) and 100 <= status < 600:
            return status
    return None


def _is_one_of(error: BaseException, names: frozenset[str]) -> bool:
    return any(
        f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in names
        for kind in type(error).__mro__
    )
