"""What `nexus.yaml` may say of a data set: the fields here, and those of every room of a medium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import create_model

from specs.rooms import TEXT, readable, rooms
from specs.values import Positive, Sampler, Section, Text

if TYPE_CHECKING:
    from modalities.text.spec import DatasetFields as TextFields


class RowSource(Section):
    """Where rows come from, and how many go to which split."""

    sample: Sampler | None = None
    """The sampler that makes the rows."""
    path: Text | None = None
    """A file, a folder or a glob, relative to this file."""
    rows: Positive | None = None
    """Rows of all splits together (default: all rows of the files)."""
    eval: Positive = 1000
    """Rows held out for the contract. No training sees them."""
    validation: Positive = 200
    """Rows held out for decisions during training."""
    pilot: Positive = 240
    """Rows for profiling teachers."""
    group: Text | None = None
    """Key of a row's group (a speaker, a source). Rows of one group stay in one split."""
    origin: Text | None = None
    """Where to get the data, shown when it is missing. Nothing is fetched automatically."""
    licence: Text | None = None
    """SPDX name of the data's licence; NOASSERTION if it is not known."""

    def media(self) -> tuple[str, ...]:
        """What its rows hold as well as text, sorted: the media whose fields are set."""
        return tuple(
            sorted(
                medium
                for medium, names in media_fields().items()
                if any(getattr(self, name) is not None for name in names)
            )
        )

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, as JSON values, without the fields of media that they lack."""
        unused = {
            name
            for medium, names in media_fields().items()
            if medium not in self.media()
            for name in names
        }
        if self.group is None:
            unused.add("group")
        return self.model_dump(mode="json", exclude={"origin", *unused})


def media_fields() -> dict[str, tuple[str, ...]]:
    """Medium -> the fields that its room adds to a data set; text aside."""
    return {
        medium: tuple(room.dataset_fields.model_fields)
        for medium, room in readable().items()
        if medium != TEXT and room.dataset_fields is not None
    }


if TYPE_CHECKING:

    class Dataset(TextFields, RowSource):
        """A data set of text. Other media add fields."""

else:
    _FIELDS = [room.dataset_fields for room in rooms() if room.dataset_fields is not None]
    Dataset = create_model("Dataset", __base__=(*_FIELDS, RowSource), __module__=__name__)
    Dataset.__doc__ = "Prompts and answers, made by a sampler or read from files."
