"""The failures of the image builder that a user can cause or mend.

Rule: the message says what was wrong and ends with the one command or setting that mends it.
"""


class ImageError(Exception):
    """Say in one message what failed and how to mend it."""


class CorruptBlob(ImageError):
    """Name a blob whose bytes do not have the SHA-256 it is called by."""


class MissingBlob(ImageError):
    """Name a blob that is not in the store."""
