"""Why a picture cannot be used."""

from __future__ import annotations

# Why a picture can be rejected.
EMPTY = "empty"
NOT_A_PICTURE = "not_a_picture"
TRUNCATED = "truncated"
TOO_LARGE = "too_large"
TOO_COMPLEX = "too_complex"
DECODER_ERROR = "decoder_error"
UNSUPPORTED_FORMAT = "unsupported_format"
UNSUPPORTED_MODE = "unsupported_mode"


class RejectedPicture(Exception):
    """A picture that cannot be used.

    Attributes:
        reason: One of this module's reasons, a single word for counting.
        detail: What exactly is wrong, for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keeps the reason and the detail."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
