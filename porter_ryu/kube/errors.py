"""What can go wrong with a write or a read of the API."""

from __future__ import annotations


class ApiError(Exception):
    """An answer of the API server that is not a success, or no answer at all (status 0).

    `retry_after`: seconds that the server asks to wait.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
