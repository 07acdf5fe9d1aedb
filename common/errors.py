"""Errors that are written for the model and its user: what failed, whether a retry helps, what to do instead."""


class AppError(Exception):
    """A failure that the caller may see. Everything else is masked."""

    code = "error"

    def __init__(self, message: str, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after

    def __str__(self) -> str:
        retry = f"Retry in {self.retry_after:.1f} s." if self.retry_after is not None else ""
        return " ".join(part for part in (self.message, retry, self.hint) if part)


class InvalidInput(AppError):
    """The arguments cannot be used as they are; a retry with the same ones fails again."""

    code = "invalid_input"


class NotFound(AppError):
    """Nothing of that name is visible to the caller."""

    code = "not_found"


class Denied(AppError):
    """The caller may not do this."""

    code = "denied"


class Conflict(AppError):
    """Somebody else changed the object first."""

    code = "conflict"


class RateLimited(AppError):
    """Too many calls; `retry_after` says when the next one is let through."""

    code = "rate_limited"


class Unavailable(AppError):
    """Something that the call needs does not answer; a later retry may help."""

    code = "unavailable"


class DeadlineExceeded(AppError):
    """The call ran out of its time."""

    code = "deadline_exceeded"


class SettingsError(Exception):
    """The settings cannot be used; the message names each wrong one."""
