"""Values as people say them, and as a tool wants them: each function draws (spoken, value)."""

from __future__ import annotations

from random import Random

Spoken = tuple[str, str | int]


def words(text: str) -> tuple[str, ...]:
    """Words apart by blanks; phrases apart by bars."""
    return tuple(text.split("|") if "|" in text else text.split())


CITIES = words(
    "Rome Paris Oslo Lima Cairo Delhi Tokyo Quito Seoul Dublin Berlin Madrid Vienna Prague "
    "Lisbon Boston Denver Austin Geneva Zurich Munich Naples Dakar Accra Lagos Nairobi Hanoi "
    "Manila Sydney Perth Havana Bogota Athens Warsaw Riga Bergen Turin Malaga"
)
PEOPLE = words(
    "Tom Ben Sam Max Leo Ali Dan Finn Omar Paul Ravi Kofi Ana Mia Eva Zoe Lily Nora Ruth Ines "
    "Yuki Maya Sara Jane mum dad grandma"
)
ROOMS = words("kitchen bedroom office garage hall attic bathroom cellar")
DAYS = words("today tomorrow monday tuesday wednesday thursday friday saturday sunday")
LANGUAGES = words("french german spanish italian turkish polish greek hindi dutch korean")
COLOURS = words("red blue green white pink yellow purple orange")
PLACES = words(
    "the station|the airport|the museum|the beach|the zoo|the library|the market|the school|"
    "the stadium|the harbour|the bank|the clinic|the park|the castle|the hotel|the office"
)
GENRES = words("jazz rock blues soul folk disco opera salsa techno reggae punk swing")
BAND_FIRST = words("Blue Silver Wild Quiet Golden Electric Broken Lucky Paper Velvet Happy Iron")
BAND_LAST = words("Foxes Rivers Stones Lions Lights Shadows Birds Hearts Wheels Tigers Roses Bells")
EVENT_KINDS = words("meeting lunch dinner call lesson party review workout class match")
EVENT_ABOUT = words("team piano budget yoga sales family chess tennis design swim art book")
VERBS = words("buy fix clean pack order collect wash return check sell")
OBJECTS = words(
    "milk|bread|shoes|the bike|the car|the tent|flowers|the keys|the coat|tea|the lamp|stamps"
)
SUBJECTS = words("dinner|the train|the parcel|the car|my flight|the cake|the room|lunch|the film")
STATES = words(
    "is ready|is late|is here|was great|is cold|is gone|is on time|can wait|is too small"
)
CURRENCIES = (
    ("dollars", "usd"),
    ("euros", "eur"),
    ("pounds", "gbp"),
    ("yen", "jpy"),
    ("francs", "chf"),
    ("pesos", "mxn"),
    ("rupees", "inr"),
    ("crowns", "sek"),
    ("rand", "zar"),
    ("reais", "brl"),
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


def language(random: Random) -> Spoken:
    return _same(random.choice(LANGUAGES))


def colour(random: Random) -> Spoken:
    return _same(random.choice(COLOURS))


def genre(random: Random) -> Spoken:
    return _same(random.choice(GENRES))


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
    value = random.randint(1, 9) * 10
    if random.random() < 0.2:
        return random.choice((("half", 50), ("full", 100)))
    return random.choice((f"{value}%", f"{value} percent")), value


def degrees(random: Random) -> Spoken:
    value = random.randint(15, 28)
    return random.choice((f"{value}", f"{value} degrees")), value


def minutes(random: Random) -> Spoken:
    """A duration, wanted in whole minutes."""
    kind = random.randrange(4)
    if kind == 0:
        return random.choice((("half an hour", 30), ("an hour", 60), ("a quarter of an hour", 15)))
    if kind == 1:
        hours = random.randint(2, 5)
        return f"{hours} hours", hours * 60
    value = random.randint(2, 59)
    return f"{value} {random.choice(('minutes', 'min'))}", value


def clock(random: Random) -> Spoken:
    """A time of day, wanted as `HH:MM` of 24 hours; without am or pm it is before noon."""
    hour = random.randint(1, 11)
    kind = random.randrange(6)
    if kind == 0:
        return f"half past {HOUR_WORDS[hour - 1]}", f"{hour:02}:30"
    if kind == 1:
        return f"quarter past {HOUR_WORDS[hour - 1]}", f"{hour:02}:15"
    if kind == 2:
        return f"{hour} pm", f"{hour + 12}:00"
    if kind == 3:
        return f"{hour} am", f"{hour:02}:00"
    minute = random.randint(0, 59)
    if kind == 4:
        return f"{hour}:{minute:02}", f"{hour:02}:{minute:02}"
    return f"{hour}:{minute:02} pm", f"{hour + 12}:{minute:02}"


def amount(random: Random) -> Spoken:
    value = random.randint(2, 99)
    return str(value), value


def currency(random: Random) -> Spoken:
    """`euros` is wanted as `eur`."""
    return random.choice(CURRENCIES)


def _same(text: str) -> Spoken:
    return text, text
