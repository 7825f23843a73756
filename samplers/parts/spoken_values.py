"""Values as people say them, and as a tool wants them: each function draws (spoken, value)."""

from __future__ import annotations

from random import Random

Spoken = tuple[str, str | int]


def words(text: str) -> tuple[str, ...]:
    """Words apart by blanks; phrases apart by bars."""
    return tuple(text.split("|") if "|" in text else text.split())


CITIES = words(
    "Rome Paris Oslo Lima Cairo Delhi Tokyo Seoul Dublin Berlin Madrid Vienna Prague Lisbon "
    "Boston Denver Geneva Lagos Sydney Athens"
)
PEOPLE = words("Tom Ben Sam Max Leo Ali Ana Mia Eva Zoe Lily Nora Ruth Paul mum dad")
ROOMS = words("kitchen bedroom office garage hall attic")
DAYS = words("today tomorrow monday tuesday wednesday thursday friday saturday sunday")
COLOURS = words("red blue green white pink yellow")
VEHICLES = words("car bike bus train taxi")
PLACES = words(
    "the station|the airport|the museum|the beach|the zoo|the library|the market|the school|"
    "the park|the hotel"
)
BAND_FIRST = words("Blue Silver Wild Quiet Golden Lucky Paper Happy")
BAND_LAST = words("Foxes Rivers Stones Lions Lights Birds Hearts Roses")
EVENT_ABOUT = words("team piano yoga chess family art sales")
EVENT_KINDS = words("meeting lunch call lesson party class")
VERBS = words("buy fix clean pack order collect sell")
OBJECTS = words("milk|bread|shoes|the bike|the car|the tent|flowers|the keys|the lamp")
SUBJECTS = words("dinner|the train|the parcel|the car|the cake|the room|lunch|the film")
STATES = words("is ready|is late|is here|was great|is cold|is gone|can wait")
CURRENCIES = (
    ("dollars", "usd"),
    ("euros", "eur"),
    ("pounds", "gbp"),
    ("yen", "jpy"),
    ("francs", "chf"),
    ("pesos", "mxn"),
    ("rupees", "inr"),
)
HOUR_WORDS = words("one two three four five six seven eight nine ten eleven twelve")


def city(random: Random) -> Spoken:
    return _same(random.choice(CITIES))


def person(random: Random) -> Spoken:
    return _same(random.choice(PEOPLE))


def room(random: Random) -> Spoken:
    return _same(random.choice(ROOMS))


def day(random: Random) -> Spoken:
    return _same(random.choice(DAYS))


def vehicle(random: Random) -> Spoken:
    return _same(random.choice(VEHICLES))


def colour(random: Random) -> Spoken:
    return _same(random.choice(COLOURS))


def place(random: Random) -> Spoken:
    """`the station` is wanted as `station`."""
    name = random.choice(PLACES)
    return name, name.removeprefix("the ")


def band(random: Random) -> Spoken:
    return _same(f"{random.choice(BAND_FIRST)} {random.choice(BAND_LAST)}")


def title(random: Random) -> Spoken:
    return _same(f"{random.choice(EVENT_ABOUT)} {random.choice(EVENT_KINDS)}")


def task(random: Random) -> Spoken:
    return _same(f"{random.choice(VERBS)} {random.choice(OBJECTS)}")


def sentence(random: Random) -> Spoken:
    return _same(f"{random.choice(SUBJECTS)} {random.choice(STATES)}")


def switch(random: Random) -> Spoken:
    return _same(random.choice(("on", "off")))


def percent(random: Random) -> Spoken:
    """Tens of per cent, a number; `half` and `full` are 50 and 100."""
    if random.random() < 0.2:
        return random.choice((("half", 50), ("full", 100)))
    value = random.randint(1, 9) * 10
    return random.choice((f"{value}%", f"{value} percent")), value


def minutes(random: Random) -> Spoken:
    """A duration, wanted in whole minutes."""
    if random.random() < 0.25:
        return random.choice((("half an hour", 30), ("an hour", 60), ("two hours", 120)))
    value = random.randint(2, 30)
    return f"{value} {random.choice(('minutes', 'min'))}", value


def clock(random: Random) -> Spoken:
    """A time of day, wanted as `HH:MM` of 24 hours; without am or pm it is before noon."""
    hour = random.randint(1, 11)
    kind = random.randrange(4)
    if kind == 0:
        return f"half past {HOUR_WORDS[hour - 1]}", f"{hour:02}:30"
    if kind == 1:
        return f"{hour} pm", f"{hour + 12}:00"
    if kind == 2:
        return f"{hour} am", f"{hour:02}:00"
    minute = random.choice((10, 15, 20, 40, 45, 50))
    return f"{hour}:{minute}", f"{hour:02}:{minute}"


def amount(random: Random) -> Spoken:
    value = random.choice((random.randint(2, 20), random.randint(2, 9) * 10))
    return str(value), value


def currency(random: Random) -> Spoken:
    """`euros` is wanted as `eur`."""
    return random.choice(CURRENCIES)


def _same(text: str) -> Spoken:
    return text, text
