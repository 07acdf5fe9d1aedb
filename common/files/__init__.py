"""Files that others put somewhere: read without leaving the allowed folders, and scanned before anything uses them."""

from common.files.folder import FileRules, FileState, Folder, Found, NotTaken
from common.files.names import locate, not_allowed, shown, shown_path, unusable
from common.files.refusal import NotThere, Refused
from common.files.scanner import EicarScanner, Scanner

__all__ = [
    "EicarScanner",
    "FileRules",
    "FileState",
    "Folder",
    "Found",
    "NotTaken",
    "NotThere",
    "Refused",
    "Scanner",
    "locate",
    "not_allowed",
    "shown",
    "shown_path",
    "unusable",
]
