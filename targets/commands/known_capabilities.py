"""Capabilities that Nexus has words for: how each is told from a description, read and scored.

What a person calls otherwise they name themselves; nothing in a build depends on this list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from specs.values import Metric, Modality


@dataclass(frozen=True)
class KnownCapability:
    """signs: a regular expression that a description of who can do it matches."""

    name: str
    signs: str
    metric: Metric
    modality: Modality = "text"
    isolated: bool = False


_TRANSCRIPTION: tuple[Metric, Modality] = ("word_error_rate", "speech-to-text")
_SPEECH: tuple[Metric, Modality] = ("word_error_rate", "text-to-speech")

KNOWN = (
    KnownCapability("cot", r"\bcot\b|chain[- ]of[- ]thought|step[- ]by[- ]step", "final_answer"),
    KnownCapability("reasoning", r"\breason|\bmath|\blogic", "final_answer"),
    KnownCapability("thinking", r"\bthink|deliberat", "final_answer"),
    KnownCapability("tools", r"\btool|function[- ]call", "json_equal"),
    KnownCapability("agent", r"\bagent", "json_equal"),
    KnownCapability("code", r"\bcod(e|er|es|ing)\b|programming|software", "unit_tests"),
    KnownCapability("long-context", r"long[- _](context|document|text)|\b\d+k context", "token_f1"),
    KnownCapability(
        "instruction-following", r"instruction[- ]follow|\binstruct\b|\bchat\b", "rouge_l"
    ),
    KnownCapability(
        "question-answering", r"(?<!visual )(?<!image )(?<!video )question[- ]answering", "token_f1"
    ),
    KnownCapability("summarisation", r"\bsummari[sz]", "rouge_l"),
    KnownCapability("dialogue", r"^dialogue$|text dialog|multi[- ]turn", "rouge_l"),
    KnownCapability(
        "classification", r"^classification$|(text|topic|intent) classif", "accuracy"
    ),
    KnownCapability("translation", r"\btranslat", "rouge_l"),
    KnownCapability("emotion", r"\bemotion|sentiment", "accuracy"),
    KnownCapability("remotion-explainer", r"\bremotion\b|explainer", "rouge_l"),
    KnownCapability("uncensored", r"uncensored|abliterat|unfiltered", "rouge_l", isolated=True),
    KnownCapability(
        "vision-qa", r"\bvision\b(?! transformer)|\bvisual|\bvqa\b|\bocr\b|\bvlm?\b|"
        r"image[- ](understanding|text|encoder|embedding)", "exact_match", "image-to-text",
    ),
    KnownCapability(
        "video-understanding", r"video[- ](understanding|classif|encoder|qa|represent|recogn|mae)|"
        r"\bvideomae|action recogn", "exact_match", "video-to-text",
    ),
    KnownCapability(
        "asr", r"\basr\b|speech[- ]recogn|transcri|speech[- ]to[- ]text", *_TRANSCRIPTION
    ),
    KnownCapability(
        "podcast", r"podcast|long[- ]form (audio|speech)|diariz|who spoke", *_TRANSCRIPTION
    ),
    KnownCapability("voice-design", r"voice[- ]?design", *_SPEECH),
    KnownCapability(
        "voice", r"\btts\b|\bvoices?\b|custom[- ]?voice|text[- ]to[- ]speech|"
        r"speech (synthesis|codec|tokeni)|audio codec", *_SPEECH,
    ),
    KnownCapability(
        "streaming", r"\bstreaming|real[- ]?time|full[- ]duplex|speech[- ]to[- ]speech",
        "word_error_rate", "speech-to-speech",
    ),
    KnownCapability(
        "tri-streaming", r"tri[- ]?streaming|three streams", "word_error_rate", "any-to-any"
    ),
    KnownCapability("omni", r"\bomni|any[- ]to[- ]any", "exact_match", "any-to-any"),
    KnownCapability(
        "image-generation", r"image[- ](generation|synthesis)|text[- ]to[- ]image|"
        r"\bstable[- ]diffusion", "cosine", "text-to-image",
    ),
    KnownCapability(
        "video-generation", r"video[- ](generation|synthesis|diffusion)|(image|text)[- ]to[- ]video"
        r"|img2vid", "cosine", "image-to-video",
    ),
)  # fmt: skip
BY_NAME = {known.name: known for known in KNOWN}
# A more special word that contains a more general one: who says the first does not mean the second.
_INSTEAD = {
    "tri-streaming": "streaming",
    "voice-design": "voice",
    "video-generation": "image-generation",
}


def told_capabilities(description: str, own: Iterable[str] = ()) -> list[str]:
    """The capabilities that a description speaks of; own: names that the spec has besides."""
    text = description.lower().replace("_", " ")
    found = [known.name for known in KNOWN if re.search(known.signs, text)]
    for special, general in _INSTEAD.items():
        if special in found and general in found:
            found.remove(general)
    for name in own:
        words = re.escape(name.lower()).replace("_", "[-_ ]").replace(r"\-", "[-_ ]")
        if name not in BY_NAME and re.search(rf"(?<!\w){words}(?!\w)", text):
            found.append(name)
    return found
