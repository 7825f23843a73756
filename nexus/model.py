"""NexusModel: one backbone, its adapters, and the router that picks among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from nexus.adapters import adapter_in
from nexus.backbone import open_decoder
from nexus.decoding import Row, decode, stream
from nexus.errors import (
    REBUILD,
    BundleError,
    InvalidInputError,
    IsolatedCapabilityError,
    UnknownCapabilityError,
    blame,
)
from nexus.manifest import Capability
from nexus.media.intake import Intake
from nexus.media.opening import open_reader, values_by_row
from nexus.media.reading import MediaReader
from nexus.opened_bundle import OpenedBundle
from nexus.packing import CONFIG, GENERATION_CONFIG, WEIGHTS, ends_of_sequence
from nexus.prompt import cut, render
from nexus.router import ROUTER_JSON, Route, Router, input_embedding
from nexus.tokens import TOKENIZER, Tokens, refuse_no_text

BACKBONE = "backbone"
BATCH = 64
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
DEVICE = re.compile(r"cpu|cuda(:[0-9]+)?")
# Read at once, and parsed from the bytes that were hashed.
OPENED_AT_ONCE = (
    *(f"backbone/{file}" for file in (CONFIG, GENERATION_CONFIG, WEIGHTS)),
    f"tokenizer/{TOKENIZER}",
)


class NexusModel:
    """A bundle in memory. Adapters and router are read when they are first needed.

    Several threads may ask one model at once.
    """

    def __init__(self, bundle: OpenedBundle, device: str, dtype: torch.dtype) -> None:
        self._bundle = bundle
        self.manifest = bundle.manifest
        backbone, tokenizer = bundle.part("backbone"), bundle.part("tokenizer")
        self._decoder = open_decoder(backbone, device, dtype)
        self._ends = ends_of_sequence(backbone)
        self._tokens = Tokens(tokenizer, self._ends, self._decoder.vocabulary)
        bundle.let_go()
        self._dtype = dtype
        self._added: set[str] = set()
        self._intakes: dict[str, Intake] = {}
        self._readers: dict[str, MediaReader] = {}
        self._router: Router | None = None

    @classmethod
    def load(
        cls,
        bundle: str | Path,
        device: str = "cpu",
        *,
        dtype: torch.dtype = torch.float32,
        check: bool = True,
    ) -> NexusModel:
        """Open a bundle folder. Every file is compared with its digest first, unless told not to;
        what is read later, an adapter when it is first used, is compared once more.

        dtype: of the computation, float32, bfloat16 or float16. Raises BundleError naming the file
        at fault, ValueError where there is no such device or dtype, and RuntimeError where CUDA is
        asked for and absent. Nothing is fetched from anywhere.
        """
        if not isinstance(device, str) or not DEVICE.fullmatch(device):
            raise InvalidInputError(
                f"there is no device {device!r}; give cpu, cuda, or one of several as cuda:0"
            )
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise RuntimeError(
                "CUDA was asked for and there is none here; load with device='cpu', or install a "
                "build of torch with CUDA and its driver"
            )
        if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
            raise InvalidInputError(
                f"there is no device {device!r}; there are {torch.cuda.device_count()}, from cuda:0"
            )
        if dtype not in DTYPES:
            raise InvalidInputError(
                f"{dtype!r} is nothing to compute in; give one of {', '.join(map(str, DTYPES))}"
            )
        opened = OpenedBundle.open(Path(bundle), check=check, hold=OPENED_AT_ONCE)
        return cls(opened, device, dtype)

    @property
    def capabilities(self) -> list[str]:
        """What can be asked for by name, isolated capabilities included."""
        return [name for name in sorted(self.manifest.capabilities) if self._is_present(name)]

    def info(self) -> dict[str, Any]:
        """The manifest, and what of it is at hand."""
        return {
            **self.manifest.about,
            "available": self.capabilities,
            "isolated": [
                name for name in self.capabilities if self.manifest.capabilities[name].isolated
            ],
            "device": str(self._decoder.device),
        }

    @overload
    def route(self, prompt: str) -> Route: ...
    @overload
    def route(self, prompt: list[str] | tuple[str, ...]) -> list[Route]: ...
    def route(self, prompt: str | list[str] | tuple[str, ...]) -> Route | list[Route]:
        """What the router makes of a prompt, or of several: its choice and its probabilities."""
        if isinstance(prompt, (list, tuple)):
            return self._opened_router().route(prompt)
        return self._opened_router().route([prompt])[0]

    @overload
    def generate(
        self,
        prompt: str | None = None,
        *,
        capability: str | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
        **media: Any,
    ) -> str: ...
    @overload
    def generate(
        self,
        *,
        prompts: Sequence[str],
        capability: str | Sequence[str | None] | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
        **media: Any,
    ) -> list[str]: ...
    def generate(
        self,
        prompt: str | None = None,
        *,
        prompts: Sequence[str] | None = None,
        capability: str | Sequence[str | None] | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
        **media: Any,
    ) -> str | list[str]:
        """Answer one prompt, or several in one batch, each with its own adapter.

        capability: a name, one for each prompt, or nothing, and the router decides; `backbone` asks
        for no adapter. An isolated capability answers only with `enable_uncensored=True`, and
        raises PermissionError without. max_new_tokens: instead of the capability's own limit.
        media: what is read besides text, by medium, as `image=...`; for several prompts a list
        each. Without a prompt, what is read is all.
        Raises ValueError on what cannot be answered: no text, one that leaves no room for an
        answer, a name that the bundle does not have; and BundleError where the adapter's files are
        no longer those that were opened.
        """
        if prompt is None and prompts is None and media:
            prompt = ""
        if (prompt is None) == (prompts is None):
            raise TypeError("generate takes either prompt= or prompts=")
        if isinstance(prompts, str) or not isinstance(prompts, Iterable | None):
            raise InvalidInputError(
                "prompts= takes a list of prompts; for a single one say prompt="
            )
        texts = [prompt] if prompt is not None else list(prompts or [])
        values = values_by_row(media, None if prompt is not None else len(texts))
        asked = self._capabilities_of(texts, capability, enable_uncensored, values)
        rows = [
            self._row(text, one, max_new_tokens, given)
            for text, one, given in zip(texts, asked, values, strict=True)
        ]
        tokens = decode(self._decoder, rows, ends=self._ends, batch_size=BATCH)
        answers = [
            cut(self._tokens.decode(ids), one.stop_strings)
            for ids, one in zip(tokens, asked, strict=True)
        ]
        return answers[0] if prompt is not None else answers

    def stream(
        self,
        prompt: str = "",
        *,
        capability: str | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
        **media: Any,
    ) -> Iterator[str]:
        """The answer that `generate` gives, piece by piece as it comes to be."""
        # Checked at the call, not when the first piece is taken.
        (asked,) = self._capabilities_of([prompt], capability, enable_uncensored, [media])
        row = self._row(prompt, asked, max_new_tokens, media)
        tokens = stream(self._decoder, row, ends=self._ends)
        return self._tokens.pieces(tokens, asked.stop_strings)

    def permitted(self, name: str, *, enable_uncensored: bool = False) -> Capability:
        """The capability of this name; raises what `generate` would raise when asked for it."""
        if name == BACKBONE:
            return self.manifest.fallback
        known = self.manifest.capabilities.get(name) if isinstance(name, str) else None
        if known is None:
            raise UnknownCapabilityError(
                f"{self.manifest.name} has no capability {name!r}; it has "
                f"{', '.join(self.capabilities) or 'none'}, and {BACKBONE} for no adapter at all"
            )
        if known.isolated and enable_uncensored is not True:
            raise IsolatedCapabilityError(name)
        if not self._is_present(name):
            self._bundle.refuse_if_gone()
            raise UnknownCapabilityError(
                f"{known.adapter} was taken out of this bundle, and with it {name}; "
                f"it has {', '.join(self.capabilities) or 'no other'}"
            )
        return known

    def _row(
        self, prompt: str, asked: Capability, most: int | None, media: Mapping[str, Any]
    ) -> Row:
        return Row(
            self._tokens.encode(render(asked.template, prompt)),
            _longest(asked, most),
            self._adapter(asked),
            self._end_test(asked),
            self._reader(asked).soft(media),
        )

    def _reader(self, capability: Capability) -> MediaReader:
        """What a capability reads besides text; encoders are opened when they are first needed."""
        if capability.name not in self._readers:
            self._readers[capability.name] = open_reader(
                capability, self._bundle, self._intakes, self._decoder.width
            )
        return self._readers[capability.name]

    def _end_test(self, capability: Capability) -> Callable[[list[int]], bool] | None:
        stops = [stop for stop in capability.stop_strings if stop]
        if not stops:
            return None
        return lambda ids: any(stop in self._tokens.decode(ids) for stop in stops)

    def _capabilities_of(
        self,
        prompts: Sequence[str],
        capability: str | Sequence[str | None] | None,
        enable_uncensored: bool,
        media: Sequence[Mapping[str, Any]],
    ) -> list[Capability]:
        """The capability that answers each prompt, after every check."""
        for prompt in prompts:
            refuse_no_text(prompt)
        if capability is None or isinstance(capability, str):
            names: list[str | None] = [capability] * len(prompts)
        elif not isinstance(capability, Iterable):
            raise InvalidInputError(
                f"capability= takes a name, or a list with one for each prompt, not {capability!r}"
            )
        else:
            names = list(capability)
            if len(names) != len(prompts):
                raise ValueError(f"{len(prompts)} prompts and {len(names)} capabilities")
        unnamed = [index for index, name in enumerate(names) if name is None]
        if unnamed:
            routes = self._opened_router().route([prompts[index] for index in unnamed])
            for index, route in zip(unnamed, routes, strict=True):
                names[index] = self._route_one(route, media[index])
        return [
            self.permitted(BACKBONE if name is None else name, enable_uncensored=enable_uncensored)
            for name in names
        ]

    def _route_one(self, route: Route, media: Mapping[str, Any]) -> str:
        """The router's choice, of the capabilities that read what is given. One that it must not
        make is treated as none. Raises InvalidInputError where nothing reads what is given.
        """
        likely = sorted(route.probabilities, key=lambda name: -route.probabilities[name])
        for name in [route.capability or BACKBONE, *(likely if media else ())]:
            known = self.manifest.capabilities.get(name)
            if known is not None and not known.isolated and set(known.reads) == set(media):
                return known.name
        if media:
            raise InvalidInputError(
                f"no capability that the router may choose reads {' and '.join(sorted(media))}: "
                "name one with capability="
            )
        return BACKBONE

    def _is_present(self, name: str) -> bool:
        known = self.manifest.capabilities[name]
        return name in self._added or self._bundle.holds(known.adapter, known.configuration)

    def _adapter(self, capability: Capability) -> str | None:
        """The name of the capability's adapter, which is read when it is first asked for."""
        if capability.name == BACKBONE:
            return None
        if capability.name not in self._added:
            with blame(capability.adapter):
                adapter = adapter_in(
                    self._bundle.read(capability.adapter),
                    self._bundle.read(capability.configuration),
                    name=capability.adapter,
                )
                self._decoder.add(capability.name, adapter)
            self._added.add(capability.name)
        return capability.name

    def _opened_router(self) -> Router:
        if self._router is None:
            if not self._bundle.holds(f"router/{ROUTER_JSON}"):
                self._bundle.refuse_if_gone()
                raise UnknownCapabilityError(
                    "this bundle has no router: name the capability, one of "
                    f"{', '.join(self.capabilities)}"
                )
            router = Router.over(
                self._bundle.part("router"), self._embedding, self._tokens.with_ends()
            )
            for name in router.capabilities:
                known = self.manifest.capabilities.get(name)
                if known is None:
                    raise BundleError(
                        f"router/{ROUTER_JSON}",
                        f"can choose {name!r}, which the manifest lacks",
                        REBUILD,
                    )
                if known.isolated:
                    raise BundleError(f"router/{ROUTER_JSON}", "can choose an isolated capability")
            self._router = router
        return self._router

    def _embedding(self, name: str) -> Tensor:
        """The backbone's input embedding as it is stored, float32: the decoder has it, or did."""
        if self._dtype == torch.float32:
            return self._decoder.input_embedding(name).cpu()
        return input_embedding(self._bundle.part("backbone"), name)


def _longest(capability: Capability, most: int | None) -> int:
    if most is None:
        return capability.max_new_tokens
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise InvalidInputError(f"max_new_tokens is {most!r}; it must be a whole number, 1 or more")
    return most
