"""CRC-32C as TensorFlow's files store it: TFRecords, and tables of variables."""

from __future__ import annotations

import google_crc32c


def masked_crc32c(data: bytes) -> int:
    """CRC-32C of bytes, rotated and offset as it is stored (tensorflow/core/lib/hash/crc32c.h)."""
    return masked(google_crc32c.value(data))


def masked(crc: int) -> int:
    """A CRC-32C as it is stored."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
