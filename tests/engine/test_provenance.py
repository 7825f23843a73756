"""What a record says is all that it takes to make its result again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inline import InlineExecutor
from toy_project import Toy

from nexusbuild.digest.digests import FileDigests, hash_file
from nexusbuild.digest.fingerprint import CodeFingerprints
from nexusbuild.digest.host import host_kind, library_versions
from nexusbuild.digest.keys import key_of, seed_of, sha256_text
from nexusbuild.digest.statcache import StatCache
from nexusbuild.plugins import Job, Needs, input_file
from nexusbuild.rule.record import Record, record_from_text
from nexusbuild.store.store import Store


def read_record(toy: Toy, target: str) -> Record:
    link = toy.folder / ".nexus/current" / target
    record = record_from_text(link.read_text(), link.readlink().stem)
    assert record is not None
    return record


def made_again(record: Record, store: Store, folder: Path, project: Path) -> dict[str, str]:
    """path -> sha256 of what the work makes of what the record names, and of nothing else."""
    inputs = {}
    for role, use in record.inputs.items():
        made_by = store.record(use.key)
        assert made_by is not None and made_by.digest_of(use.reference) == use.digest
        place = folder / role
        place.mkdir()
        store.materialise(made_by.files(use.reference), place)
        inputs[role] = place / (input_file(use.reference) or "")
    sources = {role: Path(use.path) for role, use in record.sources.items()}
    digests = FileDigests(StatCache(None)).of_sources(str(path) for path in sources.values())
    assert list(digests.values()) == [use.digest for use in record.sources.values()]
    job = Job(
        target=record.target,
        settings=record.settings,
        inputs=inputs,
        sources=sources,
        out=folder / "out",
        scratch=folder,
        seed=seed_of(record.settings["seed"], record.target),
        threads=record.provenance["threads"],
        progress=lambda *done, **figures: None,
    )
    job.out.mkdir()
    done = InlineExecutor(project).run(job, record.work, Needs(), folder / "log", lambda _: None)
    assert done.ok, done.error
    return {
        path.relative_to(job.out).as_posix(): hash_file(path)
        for path in job.out.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("target", ["data:words", "step:b", "gate:b", "release"])
def test_a_target_is_made_again_from_its_record_alone(
    built: Toy, target: str, tmp_path: Path
) -> None:
    record = read_record(built, target)
    (built.folder / "nexus.yaml").unlink()
    folder = tmp_path / "again"
    folder.mkdir()
    outputs = made_again(record, Store(built.folder / ".nexus"), folder, built.folder)
    assert outputs == {output.path: output.sha256 for output in record.outputs}


def test_what_a_record_holds(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_record(built, "step:a")
    assert record.settings == {"train": {"steps": 3, "fast": True}, "seed": 0}
    assert record.inputs["data"].key == read_record(built, "data:words").key
    assert record.key == key_of(record.own, record.input_digests)
    monkeypatch.syspath_prepend(str(built.folder))
    code = CodeFingerprints(StatCache(None)).of(record.work)
    assert record.code == code
    assert set(code.modules) == {"toy.works", "toy.words"}
    about = record.provenance
    assert about["libraries"] == library_versions(code.libraries)
    assert about["host"] == json.loads(json.dumps(host_kind()))
    assert about["seconds"] > 0 and about["peak_rss_bytes"] > 1_000_000
    assert about["threads"] == 1 and about["builder"]
    assert about["started"] <= about["finished"]


def test_a_record_is_a_json_file_that_vouches_for_itself(toy: Toy) -> None:
    toy.target("a", settings={"fixed": 'é", 1'})
    toy.build()
    file = (toy.folder / ".nexus/current/a").resolve()
    text, key = file.read_text(encoding="utf-8"), file.stem
    whole = json.loads(text)
    assert (whole.pop("key"), whole["target"]) == (key, "a")
    assert {output["path"] for output in whole["outputs"]} == {"out.txt", "fixed.txt"}
    for place in (0, 20, 80, len(text) // 2, len(text) - 3):
        changed = "x" if text[place] != "x" else "y"
        assert record_from_text(text[:place] + changed + text[place + 1 :], key) is None
        assert record_from_text(text[:place], key) is None
    # Older stores have the digest below.
    line = "{" + text.strip().partition('",')[2]
    assert record_from_text(f"{line}\n{sha256_text(line)}\n", key) == record_from_text(text, key)
