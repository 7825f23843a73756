"""Digests follow contents, and a stat that cannot tell is not trusted."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from nexusbuild.digest.digests import FileDigests
from nexusbuild.digest.statcache import StatCache
from nexusbuild.errors import BuildError

OLD_NS = 1_600_000_000_123_456_789


def digest_of(path: Path, cache: StatCache | None = None) -> str | None:
    return FileDigests(cache or StatCache(None)).of_sources([str(path)])[str(path)]


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    content = os.urandom(3_000_000)
    path.write_bytes(content)
    assert digest_of(path) == hashlib.sha256(content).hexdigest()
    assert digest_of(tmp_path / "missing") is None


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep/a.txt").write_text("a")
        (tmp_path / folder / "b.txt").write_text("b")
    first = digest_of(tmp_path / "one")
    assert first == digest_of(tmp_path / "two")
    (tmp_path / "two/.cache").mkdir()
    (tmp_path / "two/.cache/junk").write_text("junk")
    assert first == digest_of(tmp_path / "two")
    (tmp_path / "two/b.txt").rename(tmp_path / "two/c.txt")
    assert first != digest_of(tmp_path / "two")


def test_links_are_followed_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text("weights")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/file").symlink_to(tmp_path / "blob")
    (tmp_path / "model/self").symlink_to(tmp_path / "model")
    first = digest_of(tmp_path / "model")
    (tmp_path / "blob").write_text("other")
    assert digest_of(tmp_path / "model") != first


def test_what_is_known_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("content")
    time.sleep(0.15)  # longer than the clock's grain
    cache = StatCache(tmp_path / "cache.json")
    first = digest_of(path, cache)
    cache.save_cache()
    monkeypatch.setattr("nexusbuild.digest.digests.hash_file", lambda path: "read again")
    again = StatCache(tmp_path / "cache.json")
    assert digest_of(path, again) == first
    os.utime(path)
    assert digest_of(path, again) == "read again"


def test_a_file_changed_within_the_clocks_grain_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    cache = StatCache(None)
    path.write_text("one")
    stat = path.stat()
    first = digest_of(path, cache)
    # The same size, and the clock did not move: only reading it can tell.
    path.write_text("two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest_of(path, cache) != first


def test_a_changed_file_with_its_old_time_is_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    cache = StatCache(None)
    path.write_text("one")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    time.sleep(0.15)
    first = digest_of(path, cache)
    path.write_text("two")
    os.utime(path, ns=(OLD_NS, OLD_NS))
    assert digest_of(path, cache) != first


def test_a_damaged_cache_is_merely_empty(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    for text in ("", "{", "[1]", '{"x": 3}', '{"x": [1, 2]}'):
        (tmp_path / "cache.json").write_text(text)
        assert digest_of(path, StatCache(tmp_path / "cache.json"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(BuildError, match="cannot be read"):
        digest_of(path)
