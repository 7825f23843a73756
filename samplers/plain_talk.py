"""Notes on a thing that somebody thinks of taking, each answered by a blunt verdict.

The reply names what is bad, in the order of the notes, and says to take the thing or to leave
it: two faults or more, and it is to be left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from modalities.text.row import Row
from samplers import spoken_values as say
from targets.dataset.sampled import build_sampled

if TYPE_CHECKING:
    from nexusbuild.plugins import Job


@dataclass(frozen=True)
class Thing:
    """A thing: names it may have, and its parts with words of praise and of blame."""

    kind: str
    names: tuple[str, ...]
    parts: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


GOOD_STAFF, BAD_STAFF = say.words("kind quick helpful"), say.words("rude slow lazy")
GOOD_PRICE, BAD_PRICE = say.words("fair low"), say.words("mad steep")
BRANDS = tuple(f"{first} {last}" for first in say.BAND_FIRST for last in say.BAND_LAST)

THINGS = (
    Thing(
        "hotel",
        BRANDS,
        {
            "bed": (say.words("soft clean wide"), say.words("hard dirty short")),
            "room": (say.words("quiet bright warm"), say.words("loud dark damp")),
            "staff": (GOOD_STAFF, BAD_STAFF),
            "price": (GOOD_PRICE, BAD_PRICE),
        },
    ),
    Thing(
        "cafe",
        BRANDS,
        {
            "soup": (say.words("hot rich"), say.words("cold thin salty")),
            "bread": (say.words("fresh crisp"), say.words("stale burnt")),
            "staff": (GOOD_STAFF, BAD_STAFF),
            "price": (GOOD_PRICE, BAD_PRICE),
        },
    ),
    Thing(
        "phone",
        BRANDS,
        {
            "screen": (say.words("sharp bright"), say.words("dim scratched")),
            "battery": (say.words("strong lasting"), say.words("weak hot")),
            "camera": (say.words("clear fast"), say.words("blurred slow")),
            "price": (GOOD_PRICE, BAD_PRICE),
        },
    ),
    Thing(
        "film",
        BRANDS,
        {
            "plot": (say.words("clever tense"), say.words("dull silly")),
            "music": (say.words("lovely bold"), say.words("shrill flat")),
            "acting": (say.words("fine moving"), say.words("wooden loud")),
            "ending": (say.words("neat bold"), say.words("weak rushed")),
        },
    ),
)

ASKED = (
    "Tell me straight about the {name} {kind}: {notes}.",
    "Be blunt. The {name} {kind}: {notes}.",
    "Do not be nice. What of the {name} {kind}? {notes}.",
    "I think of the {name} {kind}, {notes}. Your honest word?",
)
LEAVE_AT = 2


def draw(random: Random) -> Row:
    """One set of notes and the verdict on them."""
    thing = random.choice(THINGS)
    names = random.sample(sorted(thing.parts), random.randint(2, 3))
    notes, faults, phrasings = [], [], []
    for part in names:
        good = random.random() < 0.5
        praise, blame = thing.parts[part]
        word = random.choice(praise if good else blame)
        notes.append(f"{part} {word}")
        phrasings.append(f"{part}{'+' if good else '-'}")
        if not good:
            faults.append(f"the {part} is {word}")
    index = random.randrange(len(ASKED))
    name = random.choice(thing.names)
    prompt = ASKED[index].format(name=name, kind=thing.kind, notes=", ".join(notes))
    structure = "|".join(f"{thing.kind}:{a}{b}" for a, b in pairwise((*phrasings, f"ask{index}")))
    return Row(prompt, _verdict(f"{name} {thing.kind}", faults), (), structure)


def build(job: Job) -> None:
    """Make a data set of these rows."""
    build_sampled(job, draw)


def _verdict(name: str, faults: list[str]) -> str:
    if not faults:
        return f"Nothing is wrong with it. Take the {name}."
    said = " and ".join(faults)
    advice = "Leave" if len(faults) >= LEAVE_AT else "Take"
    return f"{said[:1].upper()}{said[1:]}. {advice} the {name}."
