"""Sizes, durations and counts as people write them."""

import pytest

from specs.quantities import parse_count, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GB", 16 * 2**30),
        ("16GiB", 16 * 2**30),
        ("16 gb", 16 * 2**30),
        ("512MB", 512 * 2**20),
        ("1.5TB", 3 * 2**39),
        ("3KB", 3072),
        ("10B", 10),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "16", "GB", "16XB", "16 GB RAM", "-1GB", "1,5GB", "IB", "1IB"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1d", 86400),
        ("2min", 120),
        ("3 min 20 s", 200),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "2 hours", "-2h", "5"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"), [("8B", 8 * 10**9), ("1.7B", 17 * 10**8), ("600M", 6 * 10**8)]
)
def test_count(text: str, count: int) -> None:
    assert parse_count(text) == count
