"""What AWS refuses, as the errors of this server: which of them say that nothing was changed."""

from typing import Any

from common.errors import AppError, Conflict, Denied, InvalidInput, NotFound, RateLimited, Unavailable
from common.security.redaction import redact
from common.security.untrusted import untrusted

DRY_RUN = "DryRunOperation"
"""EC2's way to say that the request would have succeeded."""
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired"})
NOT_FOUND = frozenset(
    {
        "ClusterNotFoundException",
        "InvalidInstanceID.Malformed",
        "InvalidInstanceID.NotFound",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "ServiceNotFoundException",
    }
)
CONFLICT = frozenset({"IncorrectInstanceState", "IncorrectState", "ServiceNotActiveException"})
THROTTLED = frozenset(
    {
        "LimitExceededException",
        "RequestLimitExceeded",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
MAX_REASON = 300


def refusal(account: str, action: str, answer: dict[str, Any]) -> AppError:
    """The error for what AWS answered. All but Unavailable say that it did nothing."""
    error = answer.get("Error") or {}
    code = str(error.get("Code") or "unknown")[:80]
    status = int((answer.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    if code in DENIED:
        hint = "The operator allows it in the role's policy (infra/aws)."
        return Denied(f"The role for {account} may not {action}.", hint)
    if code in NOT_FOUND:
        return NotFound(f"{account} has no such thing ({code}).", "The lists have what is there.")
    if code in THROTTLED or status == 429:
        return RateLimited(f"AWS takes no more requests of {account} now ({code}).", "Try again later.", 5.0)
    if code in CREDENTIALS:
        return Unavailable(
            f"AWS does not accept this server's credentials for {account} ({code}).",
            "An operator looks at its role and clock.",
        )
    said = untrusted(str(redact(str(error.get("Message") or ""), MAX_REASON)), MAX_REASON).text
    if code in CONFLICT:
        return Conflict(f"AWS refuses it in this state ({code}): {said}", "Read its state again.")
    if 400 <= status < 500:
        return InvalidInput(f"AWS refuses {action} ({code}): {said}")
    return Unavailable(f"AWS could not do {action} ({code}).", "Try again later.")


def no_answer(account: str, action: str, error: Exception) -> AppError:
    """The error for an account that cannot be reached, or for which there are no credentials."""
    name = type(error).__name__
    return Unavailable(f"{account} cannot be reached for {action} ({name}).", "Try again later, or ask the operator.")
