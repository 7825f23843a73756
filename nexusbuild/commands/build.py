"""nexusbuild [TARGET...]: build what is stale, or with --dry-run show what that would be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nexusbuild import errors
from nexusbuild.closure import closure
from nexusbuild.command import Command, add_json, add_place, command_names
from nexusbuild.errors import BuildError
from nexusbuild.estimate import expected_durations
from nexusbuild.lock import differences_from_lock
from nexusbuild.notes import plan_notes
from nexusbuild.package_options import chosen_steps
from nexusbuild.plan import planned
from nexusbuild.project import Place, Project, find_place, shown
from nexusbuild.report import (
    BUILD_STATES,
    PLAN_STATES,
    counts,
    plan_json,
    print_json,
    result_json,
    say,
    show_counts,
    show_error,
    show_notes,
    show_plan,
    show_rows,
    warn,
)
from nexusbuild.selectors import selected

if TYPE_CHECKING:
    from nexusbuild.run import Report


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="id, kind, glob, +up, down+")
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="show what would be rebuilt and why; writes nothing",
    )
    parser.add_argument("-j", "--jobs", type=_jobs, metavar="N", help="targets side by side")
    parser.add_argument(
        "-k",
        "--keep-going",
        action="store_true",
        help="go on with what does not depend on a failure",
    )
    parser.add_argument(
        "--locked", action="store_true", help="refuse to build if a source differs from the lock"
    )
    parser.add_argument(
        "--force", action="append", default=[], metavar="TARGET", help="rebuild although fresh"
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: 4 if something is not fresh"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show fresh targets, too")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    return _dry_run(place, arguments) if arguments.dry_run else _build(place, arguments)


def _dry_run(place: Place, arguments: argparse.Namespace) -> int:
    project = Project(place)
    graph = project.graph
    chosen = _chosen(project, arguments)
    forced = selected(graph, arguments.force) if arguments.force else []
    world = project.world(forced)
    if arguments.locked:
        differences = differences_from_lock(graph, project.lock, world.facts)
        if differences:
            raise errors.lock_differs(shown(place.lock), differences)
    steps = planned(world, project.to_publish(chosen))
    targets = closure(world, steps, [*chosen, *forced])
    notes = plan_notes(project, world, steps, targets)
    summary = counts((steps[each].state for each in targets), PLAN_STATES)
    if arguments.json:
        expected = expected_durations(graph, targets, project.results())
        print_json(
            {
                "spec": shown(place.spec),
                "store": shown(place.store),
                "notes": notes,
                "targets": plan_json((steps[each] for each in targets), expected),
                "summary": summary,
            }
        )
    else:
        show_plan(steps, targets, notes, arguments.verbose)
    fresh = summary["fresh"] == len(targets)
    return errors.NOT_FRESH if arguments.exit_code and not fresh else 0


def _build(place: Place, arguments: argparse.Namespace) -> int:
    from nexusbuild.after_build import Built
    from nexusbuild.executor import Executor, LocalExecutor
    from nexusbuild.progress import open_display
    from nexusbuild.run import Build, Options
    from nexusbuild.store_lock import builder_lock

    command = " ".join(["nexusbuild", *arguments.targets])
    if (
        not place.store.exists()
    ):  # what is wrong with the spec or the command leaves no store behind
        _chosen(Project(place), arguments)
    after = chosen_steps(arguments)
    for step in after:
        step.prepare(arguments)
    with builder_lock(place.store, command, warn) as lock:
        project = Project(place)
        project.store.prepare()
        graph = project.graph
        chosen = _chosen(project, arguments)
        forced = selected(graph, arguments.force) if arguments.force else []

        def executor(preload: tuple[str, ...]) -> Executor:
            return LocalExecutor(preload, graph.ram_bytes, graph.vram_bytes, held=lock)

        options = Options(
            selected=[*chosen, *forced],
            forced=forced,
            jobs=arguments.jobs,
            keep_going=arguments.keep_going,
            locked=arguments.locked,
            command=command,
        )
        build = Build(project, options, executor, open_display(sys.stderr, quiet=arguments.json))
        report = build.run()
        if not arguments.json:
            _show(report, graph.notes, arguments)
        if after and report.exit_code:
            warn("the build did not pass, so nothing is done after it")
            after = []
        done = [each for step in after for each in step.run(arguments, Built(place))]
    if arguments.json:
        _print_as_json(report, place, graph.notes, done)
    return report.exit_code


def _print_as_json(
    report: Report, place: Place, notes: Sequence[str], done: Sequence[Mapping[str, Any]]
) -> None:
    results = list(report.results.values())
    print_json(
        {
            "spec": shown(place.spec),
            "store": shown(place.store),
            "notes": [*notes, *report.notes],
            "targets": [
                result_json(
                    each.step,
                    each.state,
                    each.seconds,
                    each.peak_rss_bytes,
                    each.record,
                    each.error,
                )
                for each in results
            ],
            "summary": counts((result.state for result in results), BUILD_STATES),
            "seconds": round(report.seconds, 3),
            "exit_code": report.exit_code,
            **({"after_build": list(done)} if done else {}),
        }
    )


def _show(report: Report, notes: Sequence[str], arguments: argparse.Namespace) -> None:
    results = list(report.results.values())
    for result in results:
        if result.error is not None and result.error.what != "interrupted":
            show_error(result.error)
    show_rows(
        [
            (each.state, each.step.target.id, each.detail)
            for each in results
            if each.state == "cached" or arguments.verbose
        ]
    )
    for result in results:
        if (
            result.record is not None
            and not result.record.passed
            and result.record.verdict is not None
        ):
            summary_line = result.record.verdict.get("summary", "")
            say(f"contract not met: {result.step.target.id}: {summary_line}")
    show_counts(counts((result.state for result in results), BUILD_STATES))
    show_notes([*notes, *report.notes])


def _chosen(project: Project, arguments: argparse.Namespace) -> list[str]:
    """What is named to be built. The first word could also have been meant as a command."""
    try:
        return selected(project.graph, arguments.targets)
    except BuildError:
        return selected(project.graph, arguments.targets, command_names())


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 on")
    return int(text)


command = Command("build", "Build what is stale.", configure, run)
