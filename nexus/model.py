"""NexusModel: one backbone, its adapters, and the router that picks among them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import torch

from nexus.adapters import Adapter, AdapterSwitch, load_adapter
from nexus.decoding import greedy_decode, greedy_stream
from nexus.errors import (
    REBUILD,
    BundleError,
    InvalidInputError,
    IsolatedCapabilityError,
    UnknownCapabilityError,
    blamed,
)
from nexus.manifest import Capability, Manifest, read_manifest, verify
from nexus.packing import end_of_sequence, load_backbone
from nexus.prompt import cut, render
from nexus.router import ROUTER_JSON, Route, Router
from nexus.tokens import Tokens, refuse_no_text

BACKBONE = "backbone"
BATCH = 64
DEVICE = re.compile(r"cpu|cuda(:[0-9]+)?")


class NexusModel:
    """A bundle in memory. Adapters are read when they are first needed."""

    def __init__(self, bundle: Path, manifest: Manifest, device: str, dtype: torch.dtype) -> None:
        self._bundle = bundle
        self.manifest = manifest
        self._model = load_backbone(bundle / "backbone", device, dtype)
        with blamed("backbone/generation_config.json"):
            self._end = end_of_sequence(self._model)
        self._tokens = Tokens(bundle / "tokenizer", self._end)
        self._switch = AdapterSwitch(self._model)
        self._adapters: dict[str, Adapter] = {}
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
        """Open a bundle folder. Every file is compared with its digest first, unless told not to.

        Raises BundleError naming the file at fault, ValueError where there is no such device, and
        RuntimeError where CUDA is asked for and absent. Nothing is fetched from anywhere.
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
        folder = Path(bundle)
        manifest = read_manifest(folder)
        if check:
            verify(folder, manifest)
        return cls(folder, manifest, device, dtype)

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
            "device": str(self._model.device),
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
        prompt: str,
        *,
        capability: str | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
    ) -> str: ...
    @overload
    def generate(
        self,
        *,
        prompts: Sequence[str],
        capability: str | Sequence[str | None] | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
    ) -> list[str]: ...
    def generate(
        self,
        prompt: str | None = None,
        *,
        prompts: Sequence[str] | None = None,
        capability: str | Sequence[str | None] | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
    ) -> str | list[str]:
        """Answer one prompt, or several in one batch, each with its own adapter.

        capability: a name, one for each prompt, or nothing, and the router decides; `backbone` asks
        for no adapter. An isolated capability answers only with `enable_uncensored=True`, and
        raises PermissionError without. max_new_tokens: instead of the capability's own limit.
        """
        if (prompt is None) == (prompts is None):
            raise TypeError("generate takes either prompt= or prompts=")
        if isinstance(prompts, str):
            raise InvalidInputError(
                "prompts= takes a list of prompts; for a single one say prompt="
            )
        texts = [prompt] if prompt is not None else list(prompts or [])
        asked = self._asked(texts, capability, enable_uncensored)
        answers = self._answers(texts, asked, max_new_tokens)
        return answers[0] if prompt is not None else answers

    def stream(
        self,
        prompt: str,
        *,
        capability: str | None = None,
        enable_uncensored: bool = False,
        max_new_tokens: int | None = None,
    ) -> Iterator[str]:
        """The answer that `generate` gives, piece by piece as it comes to be."""
        # Checked at the call, not when the first piece is taken.
        asked = self._asked([prompt], capability, enable_uncensored)[0]
        return self._stream(prompt, asked, max_new_tokens)

    def permitted(self, name: str, *, enable_uncensored: bool = False) -> Capability:
        """The capability of this name; raises what `generate` would raise when asked for it."""
        if name == BACKBONE:
            return self.manifest.fallback
        known = self.manifest.capabilities.get(name)
        if known is None:
            raise UnknownCapabilityError(
                f"{self.manifest.name} has no capability {name!r}; it has "
                f"{', '.join(self.capabilities) or 'none'}, and {BACKBONE} for no adapter at all"
            )
        if known.isolated and enable_uncensored is not True:
            raise IsolatedCapabilityError(name)
        if not self._is_present(name):
            raise UnknownCapabilityError(
                f"{known.adapter} was taken out of this bundle, and with it {name}; "
                f"it has {', '.join(self.capabilities) or 'no other'}"
            )
        return known

    def _stream(self, prompt: str, asked: Capability, most: int | None) -> Iterator[str]:
        ids = self._tokens.encode(render(asked.template, prompt))
        tokens = greedy_stream(
            self._model,
            ids,
            max_new_tokens=_longest(asked, most),
            eos_token_id=self._end,
            # Another answer may be asked for between two pieces of this one.
            before_step=lambda: self._use(asked),
        )
        yield from self._tokens.pieces(tokens, asked.stop_strings)

    def _answers(
        self, prompts: Sequence[str], asked: Sequence[Capability], most: int | None
    ) -> list[str]:
        """Rows that need the same adapter run together; every adapter is put in once."""
        answers = [""] * len(prompts)
        groups: dict[str, list[int]] = {}
        for index, capability in enumerate(asked):
            groups.setdefault(capability.name, []).append(index)
        for indices in groups.values():
            capability = asked[indices[0]]
            self._use(capability)
            ids = [
                self._tokens.encode(render(capability.template, prompts[index]))
                for index in indices
            ]
            rows = greedy_decode(
                self._model,
                ids,
                max_new_tokens=_longest(capability, most),
                eos_token_id=self._end,
                batch_size=BATCH,
                finished=self._finished(capability),
            )
            for index, row in zip(indices, rows, strict=True):
                answers[index] = cut(self._tokens.decode(row), capability.stop_strings)
        return answers

    def _finished(self, capability: Capability) -> Callable[[list[int]], bool] | None:
        stops = [stop for stop in capability.stop_strings if stop]
        if not stops:
            return None
        return lambda ids: any(stop in self._tokens.decode(ids) for stop in stops)

    def _asked(
        self,
        prompts: Sequence[str],
        capability: str | Sequence[str | None] | None,
        enable_uncensored: bool,
    ) -> list[Capability]:
        """The capability that answers each prompt, after every check."""
        for prompt in prompts:
            refuse_no_text(prompt)
        if capability is None or isinstance(capability, str):
            names: list[str | None] = [capability] * len(prompts)
        else:
            names = list(capability)
            if len(names) != len(prompts):
                raise ValueError(f"{len(prompts)} prompts and {len(names)} capabilities")
        unnamed = [index for index, name in enumerate(names) if name is None]
        if unnamed:
            routes = self._opened_router().route([prompts[index] for index in unnamed])
            for index, route in zip(unnamed, routes, strict=True):
                names[index] = self._routed(route)
        return [
            self.permitted(name or BACKBONE, enable_uncensored=enable_uncensored) for name in names
        ]

    def _routed(self, route: Route) -> str:
        """The router's choice. One that it must not make is treated as none."""
        known = self.manifest.capabilities.get(route.capability or "")
        return BACKBONE if known is None or known.isolated else known.name

    def _is_present(self, name: str) -> bool:
        known = self.manifest.capabilities[name]
        files = (known.adapter, known.configuration)
        return all((self._bundle / file).is_file() for file in files)

    def _use(self, capability: Capability) -> None:
        if capability.name == BACKBONE:
            self._switch.remove()
            return
        if capability.name not in self._adapters:
            try:
                self._adapters[capability.name] = load_adapter(
                    self._bundle / capability.adapter, self._bundle / capability.configuration
                )
            except (OSError, ValueError, KeyError) as error:
                raise BundleError(capability.adapter, f"cannot be read ({error})") from error
        self._switch.use(capability.name, self._adapters[capability.name])

    def _opened_router(self) -> Router:
        if self._router is None:
            about = self._bundle / "router" / ROUTER_JSON
            if not about.is_file():
                raise UnknownCapabilityError(
                    "this bundle has no router: name the capability, one of "
                    f"{', '.join(self.capabilities)}"
                )
            router = Router.load(
                self._bundle / "router", self._bundle / "backbone", self._bundle / "tokenizer"
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


def _longest(capability: Capability, most: int | None) -> int:
    if most is None:
        return capability.max_new_tokens
    if most < 1:
        raise ValueError(f"max_new_tokens is {most}; it must be at least 1")
    return most
