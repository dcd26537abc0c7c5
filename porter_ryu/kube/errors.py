"""What can go wrong with a write or a read of the API, or with what is read."""

from __future__ import annotations

from porter_ryu.domain.text import printable

NOT_FOUND = 404
GONE = 410
BAD_ANSWER = "BadAnswer"
_MESSAGE_MOST, _REASON_MOST = 500, 50
_RETRY_AFTER_MOST = 60.0
_SERVER_ERROR = 500
_BY_STATUS = {
    401: "Unauthorized",
    403: "Forbidden",
    NOT_FOUND: "NotFound",
    409: "Conflict",
    GONE: "Gone",
    422: "Invalid",
    429: "TooManyRequests",
}


class ApiError(Exception):
    """An answer of the API server that is not a success, or no answer at all (status 0).

    `reason` is the server's own word, or ours where there is no answer; BAD_ANSWER is one that
    cannot be read.  `retry_after`: seconds that the server asks to wait, at most 60.  The message
    is printable and at most 500 characters long.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        message = printable(message, _MESSAGE_MOST)
        reason = printable(reason, _REASON_MOST)
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.retry_after = None
        if retry_after is not None:
            self.retry_after = min(max(0.0, retry_after), _RETRY_AFTER_MOST)

    @property
    def label(self) -> str:
        """The reason out of a fixed list, as a metric's label needs it."""
        if not self.status:
            return self.reason
        if self.status in _BY_STATUS:
            return _BY_STATUS[self.status]
        return "ServerError" if self.status >= _SERVER_ERROR else "Refused"


class CodecError(ValueError):
    """An object that cannot be understood; the message names the field."""
