"""The room that the spec grants the store: what does not fit by estimate does not start."""

from __future__ import annotations

from toy_project import Toy


def test_what_would_outgrow_the_store_is_refused_before_anything_starts(chain: Toy) -> None:
    chain.target("large:it", needs={"disk_bytes": 3 * 10**6})
    chain.spec["disk"] = 2 * 10**6
    chain.save()
    planned = chain.run("--dry-run")
    assert planned.returncode == 0
    assert "adds about 2.9 MB; the spec grants it 1.9 MB: it would be refused" in planned.stdout
    refused = chain.run()
    assert refused.returncode == 2
    assert "`nexusbuild gc`" in refused.stderr
    assert not list(chain.folder.glob(".nexus/actions/*"))
    # All else fits, and is built when it is named.
    assert "step:a" in chain.built("step:a")


def test_what_is_held_already_counts(toy: Toy) -> None:
    toy.target("a:it", settings={"fixed": "x" * 5000})
    toy.build()
    toy.spec["disk"] = 6000
    toy.target("b:it", needs={"disk_bytes": 2000})
    assert toy.run("b:it").returncode == 2
    toy.spec["disk"] = 20_000
    toy.save()
    assert toy.built("b:it") == {"b:it"}


def test_what_is_fresh_needs_no_room(toy: Toy) -> None:
    toy.target("a:it", needs={"disk_bytes": 1000})
    toy.build()
    toy.spec["disk"] = 1
    toy.save()
    assert toy.build() == {"a:it": "fresh"}
