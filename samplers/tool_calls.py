"""Requests in everyday wording, each answered by one JSON call of a tool.

A tool has phrasings for what it always needs, and optional arguments with phrasings of their
own that may follow in any order. The call lists arguments in the tool's order, not the order
in which they were said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from modalities.text.row import Row
from samplers import spoken_values as say
from targets.dataset.sampled import build_sampled

if TYPE_CHECKING:
    from nexusbuild.plugins import Job

LONGEST_ANSWER = 90
LONGEST_PROMPT = 140

Draw = Callable[[Random], say.Spoken]


@dataclass(frozen=True)
class Tool:
    """A tool: its arguments in order, how they are asked for, which may be left out."""

    name: str
    arguments: dict[str, Draw]
    heads: tuple[str, ...]
    optional: dict[str, tuple[str, ...]]


TOOLS = (
    Tool(
        "weather",
        {"city": say.city, "day": say.day},
        (
            "what is the weather in {city}",
            "how warm is it in {city}",
            "will it rain in {city}",
            "get me the forecast for {city}",
            "do I need a coat in {city}",
        ),
        {"day": ("for {day}", "{day}", "on {day}")},
    ),
    Tool(
        "alarm",
        {"time": say.clock, "day": say.day, "label": say.title},
        (
            "wake me at {time}",
            "set an alarm for {time}",
            "I have to get up at {time}",
            "ring the bell at {time}",
        ),
        {
            "day": ("on {day}", "but only {day}"),
            "label": ("for the {label}", "and call it {label}", "because of the {label}"),
        },
    ),
    Tool(
        "timer",
        {"minutes": say.minutes, "label": say.task},
        (
            "start a timer of {minutes}",
            "count down {minutes}",
            "time {minutes}",
            "let me know when {minutes} are over",
        ),
        {"label": ("so I can {label}", "to {label}", "named {label}")},
    ),
    Tool(
        "message",
        {"to": say.person, "text": say.sentence, "at": say.clock},
        (
            "tell {to} that {text}",
            "send {to} a message saying {text}",
            "text {to} that {text}",
            "let {to} know {text}",
            "write to {to}: {text}",
        ),
        {"at": ("at {at}", "but wait until {at}")},
    ),
    Tool(
        "play",
        {"artist": say.band, "room": say.room, "volume": say.percent},
        (
            "play something by {artist}",
            "put on the {artist}",
            "I want to hear {artist}",
            "play the new {artist} song",
        ),
        {
            "room": ("in the {room}", "on the {room} speaker"),
            "volume": ("at {volume} volume", "with the volume at {volume}"),
        },
    ),
    Tool(
        "navigate",
        {"to": say.place, "by": say.vehicle, "arrive": say.clock},
        (
            "take me to {to}",
            "how do I get to {to}",
            "find the way to {to}",
            "show a route to {to}",
        ),
        {
            "by": ("by {by}", "and I go by {by}"),
            "arrive": ("to be there at {arrive}", "arriving at {arrive}"),
        },
    ),
    Tool(
        "lights",
        {"room": say.room, "state": say.switch, "colour": say.colour, "level": say.percent},
        (
            "turn {state} the lights in the {room}",
            "switch the {room} lights {state}",
            "lights {state} in the {room}",
            "the {room} lamp should be {state}",
        ),
        {
            "colour": ("in {colour}", "and make it {colour}"),
            "level": ("at {level} brightness", "dimmed to {level}"),
        },
    ),
    Tool(
        "event",
        {"title": say.title, "day": say.day, "time": say.clock, "with": say.person},
        (
            "add a {title} to my calendar {day}",
            "plan a {title} for {day}",
            "book the {title} {day}",
            "there is a {title} {day}, note it",
        ),
        {
            "time": ("at {time}", "starting {time}"),
            "with": ("with {with}", "and invite {with}"),
        },
    ),
    Tool(
        "remind",
        {"task": say.task, "time": say.clock, "day": say.day},
        (
            "remind me to {task}",
            "I must not forget to {task}",
            "make sure that I {task}",
            "put down that I have to {task}",
        ),
        {
            "time": ("at {time}", "when it is {time}"),
            "day": ("on {day}", "{day}"),
        },
    ),
    Tool(
        "convert",
        {"value": say.amount, "from": say.currency, "to": say.currency},
        (
            "convert {value} {from} to {to}",
            "how much is {value} {from} in {to}",
            "what are {value} {from} in {to}",
            "give me {value} {from} as {to}",
        ),
        {},
    ),
)

OPENINGS = (
    *("",) * 6,
    "please ",
    "hey, ",
    "ok, ",
    "hi there, ",
    "I am late, ",
)
CLOSINGS = (
    *("",) * 6,
    " please",
    ", thanks",
    " if you can",
    " right now",
)


def draw(random: Random) -> Row:
    """One request and its call."""
    while True:
        row = _ask(random, random.choice(TOOLS))
        if (
            row is not None
            and len(row.prompt) <= LONGEST_PROMPT
            and len(row.answer) <= LONGEST_ANSWER
        ):
            return row


def build(job: Job) -> None:
    """Make a data set of these rows."""
    build_sampled(job, draw)


def _ask(random: Random, tool: Tool) -> Row | None:
    """A request of this tool; None where two arguments came out alike (a way from A to A)."""
    given = [name for name in tool.optional if random.random() < 0.4]
    random.shuffle(given)
    spoken: dict[str, str] = {}
    arguments: dict[str, str | int] = {}
    for name, value in tool.arguments.items():
        if name in tool.optional and name not in given:
            continue
        spoken[name], arguments[name] = value(random)
    if len(set(arguments.values())) < len(arguments):
        return None

    opening, closing = random.choice(OPENINGS), random.choice(CLOSINGS)
    head = random.randrange(len(tool.heads))
    parts, phrasings = [tool.heads[head].format(**spoken)], [f"head{head}"]
    for name in given:
        index = random.randrange(len(tool.optional[name]))
        parts.append(tool.optional[name][index].format(**spoken))
        phrasings.append(f"{name}{index}")
    mark = "?" if parts[0].startswith(("what", "how", "will", "do ")) else ""
    if mark:
        closing = ""
    asked = opening + " ".join(parts) + closing
    prompt = asked[:1].upper() + asked[1:] + mark

    combinations = [f"{tool.name}:{a}+{b}" for a, b in pairwise(phrasings)]
    if len(given) > 1:
        combinations.append(f"{tool.name}({','.join(arguments)})/head{head}")
    if not tool.optional:
        combinations.append(f"{tool.name}:head{head}+{opening}+{closing}")
    answer = json.dumps({"name": tool.name, "arguments": arguments}, separators=(",", ":"))
    return Row(prompt, answer, (), "|".join(combinations) or f"{tool.name}:alone")
