"""Why a file is not taken in."""

from common.errors import InvalidInput


class Refused(InvalidInput):
    """A file that is not taken in; the message tells the person who adds it why and what to do."""

    code = "refused"


class NotThere(Refused):
    """Nothing is there, or only a link, which is never followed."""
