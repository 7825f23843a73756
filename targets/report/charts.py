"""Charts as inline SVG. Colours come from the page; every series has a dash and a mark of its own,
so that a chart can be read without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from targets.report.axes import Axis, Words, plain
from targets.report.markup import number, tag

Point = tuple[float, float]
DASHES = ("", "7 3", "2 3", "10 3 2 3", "12 4", "4 4")


@dataclass(frozen=True)
class Series:
    """A line. place: which colour and dash. thin: next to a line of the same place.
    mark: a point of it that matters.
    """

    name: str
    points: Sequence[Point]
    place: int = 0
    thin: bool = False
    mark: Point | None = None


def interval_chart(
    value: float, interval: tuple[float, float], least: float | None, label: str
) -> Element:
    """A value with its interval on a line, and the least that it must reach."""
    known = [value, *interval, *([] if least is None else [least])]
    low, high = min(known), max(known)
    room = max(0.02, 0.18 * (high - low))
    axis = Axis(low - room, high + room, 18, 302)
    middle = 26
    svg = _picture(320, 62, label)
    svg.append(tag("line", class_="axis", x1=8, x2=312, y1=44, y2=44))
    for tick in axis.ticks(4):
        x = axis(tick)
        svg.append(tag("line", class_="axis", x1=x, x2=x, y1=44, y2=48))
        svg.append(tag("text", plain(tick), class_="tick", x=x, y=59, text_anchor="middle"))
    if least is not None:
        x = axis(least)
        svg.append(tag("rect", class_="allowed", x=x, y=12, width=312 - x, height=32))
        svg.append(tag("line", class_="threshold", x1=x, x2=x, y1=6, y2=44))
        end = "start" if x < 220 else "end"
        text = f"at least {plain(least)}"
        svg.append(tag("text", text, class_="tick", x=x + (4 if end == "start" else -4), y=9,
                       text_anchor=end))  # fmt: skip
    left, right = (axis(each) for each in interval)
    svg.append(tag("line", class_="whisker", x1=left, x2=right, y1=middle, y2=middle))
    for x in (left, right):
        svg.append(tag("line", class_="whisker", x1=x, x2=x, y1=middle - 6, y2=middle + 6))
    svg.append(tag("circle", class_="value", cx=axis(value), cy=middle, r=5))
    return svg


def line_chart(
    series: Sequence[Series],
    label: str,
    x_title: str,
    *,
    log: bool = False,
    y_words: Words = plain,
    y_range: tuple[float, float] | None = None,
    line_at: float | None = None,
) -> Element:
    """Lines over a common axis; their names stand in a legend below."""
    points = [point for each in series for point in each.points]
    ys = [y for _, y in points if not log or y > 0] or [1.0]
    low, high = y_range or _widen(min(ys), max(ys), log)
    across = Axis(min(x for x, _ in points), max(x for x, _ in points), 46, 350)
    up = Axis(low, high, 168, 10, log)
    svg = _picture(360, 204, label)
    for tick in up.ticks():
        y = up(tick)
        svg.append(tag("line", class_="grid", x1=46, x2=350, y1=y, y2=y))
        svg.append(tag("text", y_words(tick), class_="tick", x=42, y=y + 4, text_anchor="end"))
    for tick in filter(float.is_integer, across.ticks(5)):  # builds, steps, directions
        x = across(tick)
        svg.append(tag("line", class_="axis", x1=x, x2=x, y1=168, y2=172))
        svg.append(tag("text", plain(tick), class_="tick", x=x, y=184, text_anchor="middle"))
    svg.append(tag("line", class_="axis", x1=46, x2=350, y1=168, y2=168))
    svg.append(tag("text", x_title, class_="tick", x=350, y=200, text_anchor="end"))
    if line_at is not None and low <= line_at <= high:
        y = up(line_at)
        svg.append(tag("line", class_="threshold", x1=46, x2=350, y1=y, y2=y))
    for each in series:
        shown = [
            (across(x), up(min(max(y, low), high))) for x, y in each.points if not log or y > 0
        ]
        svg.append(_line(each, shown))
        if each.mark is not None:
            x, y = across(each.mark[0]), up(each.mark[1])
            svg.append(tag("circle", class_=f"dot c{each.place % 6}", cx=x, cy=y, r=4))
    return tag("figure", svg, _legend(series))


def bar_chart(
    values: Sequence[float], marked: Mapping[int, str], label: str, x_title: str, y_title: str
) -> Element:
    """A bar per value; those that are marked are filled and carry their text."""
    low, high = _widen(min(0.0, *values), max(0.0, *values), False)
    low = 0.0 if min(values) >= 0 else low
    up = Axis(low, high + 0.1 * (high - low), 168, 14)
    room = 304 / len(values)
    svg = _picture(360, 204, label)
    for tick in up.ticks(4):
        y = up(tick)
        svg.append(tag("line", class_="grid", x1=46, x2=350, y1=y, y2=y))
        svg.append(tag("text", plain(tick), class_="tick", x=42, y=y + 4, text_anchor="end"))
    every = -(-len(values) // 12)
    for place, value in enumerate(values):
        hint = tag("title", f"{x_title} {place}: {plain(value)}")
        x = 46 + room * place
        name = "bar key" if place in marked else "bar"
        top, bottom = sorted((up(value), up(0.0)))
        bar = tag("rect", hint, class_=name, x=x + 0.12 * room, width=0.76 * room, y=top)
        bar.set("height", number(max(bottom - top, 1.0)))
        svg.append(bar)
        middle = x + room / 2
        if place in marked and len(values) <= 12:
            svg.append(tag("text", marked[place], class_="tick strong", x=middle, y=top - 4,
                           text_anchor="middle"))  # fmt: skip
        if place % every == 0:
            svg.append(
                tag("text", str(place), class_="tick", x=middle, y=184, text_anchor="middle")
            )
    svg.append(tag("line", class_="axis", x1=46, x2=350, y1=up(0.0), y2=up(0.0)))
    svg.append(tag("text", x_title, class_="tick", x=350, y=200, text_anchor="end"))
    svg.append(tag("text", y_title, class_="tick", x=46, y=9))
    return tag("figure", svg)


def heat_map(
    rows: Sequence[Sequence[float]],
    crossed: Sequence[tuple[int, int]],
    label: str,
    x_title: str,
    y_title: str,
) -> Element:
    """A cell per value, in it its share of the largest in percent, where that fits."""
    most = max((value for row in rows for value in row), default=0.0) or 1.0
    columns, lines = max(map(len, rows)), len(rows)
    width, height = 300 / columns, min(30.0, 156 / lines)
    bottom = 14 + height * lines
    svg = _picture(360, round(bottom + 36), label)
    for line, row in enumerate(rows):
        y = 14 + height * line
        if line % (-(-lines // 12)) == 0:
            svg.append(tag("text", str(line), class_="tick", x=42, y=y + height / 2 + 4,
                           text_anchor="end"))  # fmt: skip
        for column, value in enumerate(row):
            x, share = 48 + width * column, max(0.0, value / most)
            text = f"{y_title} {line}, {x_title} {column}: {plain(value)}"
            cell = tag("rect", tag("title", text), class_="cell", x=x, y=y, width=width - 1)
            cell.set("height", number(height - 1))
            cell.set("fill-opacity", number(0.06 + 0.94 * share))
            svg.append(cell)
            if width >= 24 and height >= 14:
                written = "×" if (line, column) in crossed else f"{100 * share:.0f}"
                name = "tick over" if share > 0.5 else "tick strong"
                svg.append(tag("text", written, class_=name, x=x + width / 2 - 0.5,
                               y=y + height / 2 + 4, text_anchor="middle"))  # fmt: skip
    for column in range(0, columns, -(-columns // 12)):
        svg.append(tag("text", str(column), class_="tick", x=48 + width * (column + 0.5),
                       y=bottom + 14, text_anchor="middle"))  # fmt: skip
    svg.append(tag("text", x_title, class_="tick", x=350, y=bottom + 30, text_anchor="end"))
    svg.append(tag("text", y_title, class_="tick", x=42, y=9, text_anchor="end"))
    return tag("figure", svg)


def share_bar(share: float, label: str, warn: bool = False) -> Element:
    """How much of something is taken, from 0 to 1."""
    inner = tag("span", style=f"width:{100 * min(max(share, 0.0), 1.0):.1f}%")
    return tag(
        "span", inner, class_="share over" if warn else "share", role="img", aria_label=label
    )


def _picture(width: int, height: int, label: str) -> Element:
    return tag("svg", tag("title", label), viewBox=f"0 0 {width} {height}", role="img",
               aria_label=label)  # fmt: skip


def _widen(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.15, high * 1.15
    room = 0.04 * (high - low) or 0.5
    return low - room, high + room


def _line(series: Series, points: Sequence[Point]) -> Element:
    if len(points) == 1:
        ((x, y),) = points
        return tag("circle", class_=f"dot c{series.place % 6}", cx=x, cy=y, r=3)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return tag("polyline", class_=_name(series), points=path, stroke_dasharray=_dash(series))


def _dash(series: Series) -> str | None:
    return "2 3" if series.thin else DASHES[series.place % 6] or None


def _legend(series: Sequence[Series]) -> Element:
    return tag("figcaption", *map(_entry, series), class_="legend")


def _entry(series: Series) -> Element:
    line = tag("line", class_=_name(series), x1=0, x2=28, y1=6, y2=6)
    if dash := _dash(series):
        line.set("stroke-dasharray", dash)
    sample = tag("svg", line, viewBox="0 0 28 12", width=28, height=12, aria_hidden="true")
    return tag("span", sample, f" {series.name}")


def _name(series: Series) -> str:
    return f"line c{series.place % 6}" + (" thin" if series.thin else "")
