"""By how much a picture that will be made small may be reduced while, or right after, it is decoded."""

from __future__ import annotations

# A JPEG while it is decoded, and a large picture afterwards, is reduced by a power of two that leaves at least this
# many pixels for each wanted one, along each side: enough that the resize after it decides how the picture looks.
_PIXELS_LEFT_FOR_EACH = 2


def reductions(width: int, height: int, size: int | None) -> tuple[int, int]:
    """By how much a picture may be reduced beforehand, across and down: powers of two."""
    if size is None:
        return 1, 1
    across, down = (2 ** max(0, (side // (size * _PIXELS_LEFT_FOR_EACH)).bit_length() - 1) for side in (width, height))
    return across, down


def jpeg_scale(width: int, height: int, size: int | None) -> int:
    """By how much a JPEG may be reduced while it is decoded: 1, 2, 4 or 8."""
    return min(8, *reductions(width, height, size))
