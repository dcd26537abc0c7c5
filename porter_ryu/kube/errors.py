"""The errors of requests to the Kubernetes API, and of reading its objects."""

from __future__ import annotations

from porter_ryu.domain.text import printable

NOT_FOUND = 404
CONFLICT = 409
GONE = 410
BAD_ANSWER = "BadAnswer"
_MAX_MESSAGE_CHARACTERS, _MAX_REASON_CHARACTERS = 500, 50
_MAX_RETRY_AFTER_SECONDS = 60.0
_SERVER_ERROR = 500
_BY_STATUS = {
    401: "Unauthorized",
    403: "Forbidden",
    NOT_FOUND: "NotFound",
    CONFLICT: "Conflict",
    GONE: "Gone",
    422: "Invalid",
    429: "TooManyRequests",
}
_OTHER_REFUSAL, _OTHER_SERVER_ERROR, _OTHER_FAILURE = "Refused", "ServerError", "Failed"
# the reasons of errors without a valid response
_OF_NO_RESPONSE = (
    BAD_ANSWER,
    "CertificateRefused",
    "ConnectionLost",
    "ConnectionRefused",
    "NameNotResolved",
    "NoAnswer",
    "NoConfiguration",
    "TimedOut",
    "TlsFailed",
    "TooLarge",
    "Unreachable",
)
LABELS = (
    *_BY_STATUS.values(),
    _OTHER_REFUSAL,
    _OTHER_SERVER_ERROR,
    *_OF_NO_RESPONSE,
    _OTHER_FAILURE,
)
"""All that `ApiError.label` can be."""
_NO_RESPONSE, _OTHER_STATUS = "0", "other"
_STATUS_CODES = (400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)
CODES = (_NO_RESPONSE, *map(str, _STATUS_CODES), _OTHER_STATUS)
"""All that `ApiError.code` can be."""


class ApiError(Exception):
    """An error response of the API server, or no valid response (status 0).

    `reason` is the one in the response, or one of this program if there is none; BAD_ANSWER means
    that the response cannot be read.  `retry_after` is the number of seconds that the server asks
    to wait, at most 60.  The message is printable and has at most 500 characters.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        message = printable(message, _MAX_MESSAGE_CHARACTERS)
        reason = printable(reason, _MAX_REASON_CHARACTERS)
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.retry_after = None
        if retry_after is not None:
            self.retry_after = min(max(0.0, retry_after), _MAX_RETRY_AFTER_SECONDS)

    @property
    def label(self) -> str:
        """The reason from a fixed list, for the label of a metric."""
        if not self.status:
            return self.reason if self.reason in _OF_NO_RESPONSE else _OTHER_FAILURE
        if self.status in _BY_STATUS:
            return _BY_STATUS[self.status]
        return _OTHER_SERVER_ERROR if self.status >= _SERVER_ERROR else _OTHER_REFUSAL

    @property
    def code(self) -> str:
        """The status from a fixed list, for the label of a metric; 0 without a valid response."""
        return str(self.status) if str(self.status) in CODES else _OTHER_STATUS


class CodecError(ValueError):
    """An object that cannot be decoded; the message names the field."""
