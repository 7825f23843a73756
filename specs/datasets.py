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
    """Rows of all splits together; by default all that the files have."""
    eval: Positive = 1000
    """Rows held out for the contract; no training sees them."""
    validation: Positive = 200
    """Rows held out for decisions during training."""
    pilot: Positive = 240
    """Rows for profiling teachers."""
    group: Text | None = None
    """Key of what rows of one source share (a speaker, a picture): they are never split up."""
    origin: Text | None = None
    """Where the data can be had, said when it is missing; nothing is fetched by itself."""
    licence: Text | None = None
    """SPDX name of the data's licence; NOASSERTION where it is not known."""

    def media(self) -> tuple[str, ...]:
        """What its rows hold besides text, sorted: the media whose fields say something."""
        return tuple(
            sorted(
                medium
                for medium, names in media_fields().items()
                if any(getattr(self, name) is not None for name in names)
            )
        )

    def settings(self) -> dict[str, Any]:
        """What the rows depend on, as JSON values. Of a medium that they do not hold, nothing."""
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
        """A data set of text; those of other media have fields besides."""

else:
    _FIELDS = [room.dataset_fields for room in rooms() if room.dataset_fields is not None]
    Dataset = create_model("Dataset", __base__=(*_FIELDS, RowSource), __module__=__name__)
    Dataset.__doc__ = "Prompts and answers: made by a sampler, or read from files."
