"""nexusbuild [TARGET...]: build what is stale, or with --dry-run show what that would be."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexusbuild import errors
from nexusbuild.command import Command, add_json, add_place, command_names, positive
from nexusbuild.commands.package_options import chosen_steps
from nexusbuild.errors import BuildError
from nexusbuild.project import Place, Project, find_place
from nexusbuild.readable import display_path, readable_estimate
from nexusbuild.rule.lock import differences_from_lock
from nexusbuild.rule.plan import waits_for
from nexusbuild.rule.selectors import select_targets
from nexusbuild.run.build_plan import BuildPlan, lack_of_room, plan_build
from nexusbuild.show.eta import expected_durations
from nexusbuild.show.plan_notes import plan_notes
from nexusbuild.show.plan_view import show_plan
from nexusbuild.show.streams import print_json, say, warn
from nexusbuild.show.terminal import fit_lines
from nexusbuild.show.wording import (
    BUILD_STATES,
    PLAN_STATES,
    count_states,
    plan_json,
    result_json,
    show_counts,
    show_error,
    show_notes,
    show_rows,
)
from nexusbuild.store.released import top_names

if TYPE_CHECKING:
    from nexusbuild.plugins import AfterBuild
    from nexusbuild.process.executor import Executor
    from nexusbuild.run.plan_file import PlanFile
    from nexusbuild.run.results import BuildResult
    from nexusbuild.show.watch import Display


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="id, kind, glob, +up, down+")
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="show what would be rebuilt and why; writes nothing",
    )
    parser.add_argument("-j", "--jobs", type=positive, metavar="N", help="targets side by side")
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
        "--force",
        action="append",
        default=[],
        metavar="TARGET",
        help="rebuild it although it is fresh",
    )
    parser.add_argument(
        "--exit-code", action="store_true", help="with --dry-run: 4 if something is not fresh"
    )
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="FILE",
        help="build exactly what is planned there, or with --dry-run write the plan there",
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="a row for each target, fresh ones too"
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.exit_code and not arguments.dry_run:
        raise errors.only_with_dry_run("--exit-code")
    place = find_place(arguments.file, arguments.store, arguments.resolver)
    return _dry_run(place, arguments) if arguments.dry_run else _build(place, arguments)


def _dry_run(place: Place, arguments: argparse.Namespace) -> int:
    project = Project(place)
    chosen, forced = _asked_for(project, arguments)
    build_plan = plan_build(project, chosen, forced)
    if arguments.locked:
        differences = differences_from_lock(project.graph, project.lock, build_plan.world.today)
        if differences:
            raise errors.lock_differs(display_path(place.lock), differences)
    steps, targets = build_plan.steps, build_plan.targets
    notes = plan_notes(project, build_plan.world, steps, targets)
    lack = lack_of_room(project, build_plan.running)
    if lack is not None:
        notes.append(f"{lack.where} {lack.what}: it would be refused")
    if arguments.json or arguments.plan is not None:
        document = _plan_document(project, build_plan, notes)
        if arguments.plan is not None:
            from nexusbuild.run.plan_file import write_plan

            write_plan(arguments.plan, build_plan, chosen, forced, document)
        if arguments.json:
            print_json(document)
    if not arguments.json:
        show_plan(steps, targets, notes, arguments.verbose)
        if build_plan.running:
            say(f"about {_time_needed(project, build_plan, arguments.jobs)} to build")
    fresh = all(steps[target].state == "fresh" for target in targets)
    return errors.NOT_FRESH if arguments.exit_code and not fresh else 0


def _plan_document(project: Project, build_plan: BuildPlan, notes: list[str]) -> dict[str, object]:
    steps, targets = build_plan.steps, build_plan.targets
    expected = expected_durations(project.graph, targets, project.results())
    return {
        "spec": display_path(project.place.spec),
        "store": display_path(project.place.store),
        "notes": notes,
        "targets": plan_json((steps[each] for each in targets), expected),
        "summary": count_states((steps[each].state for each in targets), PLAN_STATES),
    }


def _time_needed(project: Project, build_plan: BuildPlan, jobs: int | None) -> str:
    """How long what runs, or may, will take in all, as far as anything is known of it."""
    from nexusbuild.show.eta import makespan

    running = build_plan.running
    expected = expected_durations(project.graph, running, project.results())
    seconds = {target: known or 0.0 for target, known in expected.items()}
    waits = {target: waits_for(build_plan.steps[target]) for target in running}
    return readable_estimate(makespan(seconds, waits, jobs or len(os.sched_getaffinity(0)), {}))


def _build(place: Place, arguments: argparse.Namespace) -> int:
    import shlex

    from nexusbuild.run.build import BuildRun, Options
    from nexusbuild.store.lock_file import builder_lock

    if threading.current_thread() is threading.main_thread():
        # A request to end interrupts the build, as Ctrl-C does; but not under nohup.
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
    command = shlex.join(["nexusbuild", *arguments.command_line])
    plan = _plan_to_do(arguments)
    if not place.store.exists():
        # A wrong spec or command leaves no store behind.
        _asked_for(Project(place), arguments)
    after = chosen_steps(arguments)
    for step in after:
        step.prepare(arguments)
    with builder_lock(place.store, command, warn) as lock:
        project = Project(place)
        project.store.prepare()
        graph = project.graph
        if plan is None:
            chosen, forced = _asked_for(project, arguments)
        else:
            chosen = [target for target in plan.selected if target in graph.targets]
            forced = [target for target in plan.forced if target in graph.targets]

        def open_executor(preload: tuple[str, ...]) -> Executor:
            from nexusbuild.process.executor import LocalExecutor

            return LocalExecutor(preload, graph.ram_bytes, graph.vram_bytes, held=lock)

        def open_display() -> Display:
            from nexusbuild.show.progress import open_display

            return open_display(sys.stderr, quiet=arguments.json)

        options = Options(
            selected=chosen,
            forced=forced,
            jobs=arguments.jobs,
            keep_going=arguments.keep_going,
            locked=arguments.locked,
            command=command,
            plan=plan,
        )
        expected = _expected_seconds(project) if arguments.json else {}
        report = BuildRun(project, options, open_executor, open_display).run()
        if not arguments.json:
            _show_report(project, report, arguments.verbose)
        if after and report.exit_code:
            warn("the build did not pass, so nothing is done after it")
            after = []
        done = _done_after(after, arguments, place)
    if arguments.json:
        document = _report_document(project, report, expected)
        print_json(document | ({"after_build": done} if done else {}))
    return report.exit_code


def _done_after(
    steps: Sequence[AfterBuild], arguments: argparse.Namespace, place: Place
) -> list[Mapping[str, Any]]:
    """What the steps that the options ask for did."""
    if not steps:
        return []
    from nexusbuild.plugins import Built

    return [each for step in steps for each in step.run(arguments, Built(place))]


def _plan_to_do(arguments: argparse.Namespace) -> PlanFile | None:
    if arguments.plan is None:
        return None
    from nexusbuild.run.plan_file import read_plan

    if arguments.targets or arguments.force:
        raise errors.plan_names_its_targets(str(arguments.plan))
    return read_plan(arguments.plan)


def _expected_seconds(project: Project) -> dict[str, float | None]:
    return expected_durations(project.graph, project.graph.targets, project.results())


def _report_document(
    project: Project, report: BuildResult, expected: Mapping[str, float | None]
) -> dict[str, object]:
    results = list(report.results.values())
    return {
        "spec": display_path(project.place.spec),
        "store": display_path(project.place.store),
        "notes": [*project.graph.notes, *report.notes],
        "targets": [
            result_json(
                each.step,
                each.state,
                each.seconds,
                each.peak_rss_bytes,
                each.record,
                each.error,
                expected.get(each.step.target.id),
            )
            for each in results
        ],
        "summary": count_states((result.state for result in results), BUILD_STATES),
        "seconds": round(report.seconds, 3),
        "exit_code": report.exit_code,
    }


def _show_report(project: Project, report: BuildResult, everything: bool) -> None:
    results = list(report.results.values())
    for result in results:
        if result.error is not None and result.error.what != "interrupted":
            show_error(result.error)
    if everything:
        show_rows([(each.state, each.step.target.id, each.detail) for each in results])
    for result in results:
        record = result.record
        if record is not None and not record.passed and record.verdict is not None:
            summary = record.verdict.get("summary", "")
            text = f"contract not met: {result.step.target.id}: {summary}"
            say(fit_lines(text, sys.stdout), "31;1")
    show_notes([*project.graph.notes, *report.notes])
    for result in results:
        record = result.record
        if result.step.target.release and result.state in ("built", "cached") and record:
            places = [display_path(project.place.dist / name) for name in top_names(record)]
            say(f"released: {', '.join(places)}")
    show_counts(count_states((result.state for result in results), BUILD_STATES))


def _asked_for(project: Project, arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """What is named to be built, and what to be rebuilt although fresh."""
    forced = select_targets(project.graph, arguments.force) if arguments.force else []
    return _chosen(project, arguments), forced


def _chosen(project: Project, arguments: argparse.Namespace) -> list[str]:
    """What is named to be built. The first word could also have been meant as a command."""
    try:
        return select_targets(project.graph, arguments.targets)
    except BuildError:
        return select_targets(project.graph, arguments.targets, command_names())


command = Command("build", "Build what is stale.", configure, run)
