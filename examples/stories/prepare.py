"""Write openings of children's stories to `data/openings.jsonl`: prompts alone, seeded.

python examples/stories/prepare.py
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

ROWS = 8000


def words(text: str) -> tuple[str, ...]:
    """Phrases that stand apart by bars."""
    return tuple(text.split("|"))


NAMES = words("Lily|Tom|Ben|Mia|Sam|Anna|Max|Lucy|Tim|Sara|Jack|Amy|Bob|Sue|Leo|Emma")
WHO = words(
    "little girl|little boy|small dog|brave cat|big bear|kind bird|happy frog|shy mouse|wise man|"
    "young rabbit|red fox|white duck"
)
LIKED = words(
    "to play outside|to sing|to run in the park|to read books|to climb trees|to help her mom|"
    "to swim|to draw|to look at the stars|to eat cake|to jump in the mud|to build towers"
)
STARTS = (
    "Once upon a time, there was a {who} named {name}.",
    "One day, a {who} named {name} went to the {place}.",
    "{name} was a {who}.",
    "In a small house lived a {who} named {name}.",
    "There once was a {who}. The name of the {who} was {name}.",
)
SECONDS = (
    "{name} liked {liked}.",
    "{name} had a {thing}.",
    "One day, {name} saw a {thing} in the {place}.",
    "{name} was very {mood}.",
    "{name} and {friend} were friends.",
    "",
)
PLACES = words("park|forest|garden|lake|shop|beach|farm|school|hill|river")
THINGS = words(
    "red ball|big box|toy car|shiny stone|blue hat|yellow boat|new kite|soft blanket|green apple|"
    "long rope|little door|round cookie"
)
MOODS = words("happy|sad|hungry|tired|excited|scared|curious|proud")


def opening(random: Random) -> str:
    """The first one or two sentences of a story."""
    name, friend = random.sample(NAMES, 2)
    words = {
        "name": name,
        "friend": friend,
        "who": random.choice(WHO),
        "liked": random.choice(LIKED),
        "place": random.choice(PLACES),
        "thing": random.choice(THINGS),
        "mood": random.choice(MOODS),
    }
    parts = (random.choice(STARTS), random.choice(SECONDS))
    return " ".join(part.format(**words) for part in parts if part)


def main() -> None:
    random = Random(0)
    openings: dict[str, None] = {}
    while len(openings) < ROWS:
        openings[opening(random)] = None
    target = Path(__file__).parent / "data" / "openings.jsonl"
    target.parent.mkdir(exist_ok=True)
    lines = (json.dumps({"prompt": text}) + "\n" for text in openings)
    target.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
