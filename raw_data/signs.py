"""Signs in a row of what it could teach: keys and content, each with a strength and a reason.

Special signs are stronger than general ones: a row of tool calls that also has a question and an
answer is a row of tool calls.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raw_data.code_text import looks_like_code
from raw_data.conversations import text_of
from raw_data.field_names import (
    ABOUT_KEYS,
    ANSWERS,
    CHOICES,
    CODE_KEYS,
    CONTEXT_KEYS,
    EMOTION_KEYS,
    LABEL_KEYS,
    LANGUAGES,
    QUESTIONS,
    TEST_KEYS,
    TEXT_KEYS,
    THINKING_KEYS,
    TOOL_KEYS,
    TOOL_NAME_KEYS,
    WORKED_KEYS,
)
from raw_data.view import View, leaves

LONG_ROW = 4000  # characters
VERY_LONG_ROW = 20_000

CALL = re.compile(r"[A-Za-z_][\w.]*\(.*\)", re.DOTALL)
METHOD = re.compile(r"[A-Z]\w+\.\w+")
THINKING = re.compile(r"<(think|thinking|thought|reasoning|scratchpad)>|<\|channel\|>analysis")
TOOL_TEXT = re.compile(r"<tool_call>|<function=|\[TOOL_CALLS\]|\"tool_calls\"\s*:")
WORKED = re.compile(
    r"####\s*-?[\d$]|<<[^<>]*=[^<>]*>>|\\boxed\{|(?im:^\s*step\s+\d)|\d\s*=\s*[^=]{0,80}\d[^=]{0,200}="
)
LETTER = re.compile(r"\(?[A-J]\)?\.?")


@dataclass(frozen=True)
class Sign:
    """That a row could teach `capability`; strength in 0..1."""

    capability: str
    strength: float
    reason: str


def signs(row: Mapping[str, Any]) -> Iterator[Sign]:
    """Every sign in a row."""
    view = View(row)
    for detector in DETECTORS:
        sign = detector(view)
        if sign is not None:
            yield sign


def _trajectory(view: View) -> Sign | None:
    calls = [message for message in view.messages if message["tool_calls"]]
    results = [message for message in view.messages if message["role"] == "tool"]
    if not calls and not results:
        return None
    asked = [message for message in view.messages if message["role"] == "user"]
    if len(results) > 1 or (results and len(asked) > 1):
        return Sign("agent", 0.97, "conversations in which tools are called and answer")
    return Sign("tools", 0.95, "messages with tool calls")


def _tool_calls(view: View) -> Sign | None:
    for key in view.fields:
        if key not in TOOL_KEYS:
            continue
        value = _parse_nested_json(view.fields[key])
        parts = [part for part in (value if isinstance(value, list) else [value]) if part]
        if parts and all(isinstance(part, dict) for part in parts):
            names = {str(name) for part in parts for name in (*part, *_inner(part))}
            if {"name", "arguments"} <= names:
                return Sign("tools", 0.95, f"tool calls in `{key}`")
            if "name" in names and names & {"parameters", "input_schema"}:
                return Sign("tools", 0.95, f"definitions of functions in `{key}`")
    if {"name", "parameters"} <= view.keys and isinstance(view.fields["parameters"], dict):
        return Sign("tools", 0.9, "each row defines a function and its parameters")
    if any(TOOL_TEXT.search(leaf) for leaf in view.all_texts):
        return Sign("tools", 0.92, "tool calls in the text")
    return None


def _calls_sign(view: View) -> Sign | None:
    """Calls as answers: as text, as `{function: {argument: values}}`, or names of APIs."""
    for key, value in view.fields.items():
        strings = list(leaves(value)) if isinstance(value, list) else []
        if strings and all(CALL.fullmatch(text) for text in strings):
            return Sign("tools", 0.85, f"function calls as text in `{key}`")
        if strings and all(METHOD.fullmatch(text) for text in strings):
            return Sign("tools", 0.8, f"methods of tools in `{key}`")
        if key in TOOL_NAME_KEYS and strings and all(map(str.isidentifier, strings)):
            return Sign("tools", 0.78, f"names of tools in `{key}`")
        if key in ANSWERS and isinstance(value, list) and all(map(_is_call, value)):
            return Sign("tools", 0.85, f"functions with their arguments in `{key}`")
    return None


def _thinking(view: View) -> Sign | None:
    key = view.has(THINKING_KEYS)
    if key:
        return Sign("thinking", 0.95, f"reasoning apart from the answer in `{key}`")
    if any(THINKING.search(leaf) for leaf in view.all_texts):
        return Sign("thinking", 0.96, "reasoning between marks in the text")
    for message in view.messages:
        content = message["content"] if isinstance(message["content"], list) else []
        kinds = {part.get("type") for part in content if isinstance(part, dict)}
        if kinds & {"thinking", "reasoning"}:
            return Sign("thinking", 0.96, "messages with reasoning parts")
    return None


def _preferences(view: View) -> Sign | None:
    for pair in (
        ("chosen", "rejected"), ("response_a", "response_b"), ("completion_a", "completion_b"),
        ("response_0", "response_1"), ("answer_a", "answer_b"),
    ):  # fmt: skip
        if view.keys >= set(pair):
            return Sign("preferences", 0.97, f"answers compared: `{pair[0]}` and `{pair[1]}`")
    return None


def _code(view: View) -> Sign | None:
    texts = view.texts(CODE_KEYS) + [text_of(one) for one in view.messages]
    if not any(looks_like_code(text) for text in texts):
        return None
    tests = view.has(TEST_KEYS)
    if tests and any(looks_like_code(text) for text in view.texts(TEST_KEYS)):
        return Sign("code", 0.97, f"code with tests in `{tests}`")
    return Sign("code", 0.86, "code as answers")


def _worked_answers_sign(view: View) -> Sign | None:
    key = view.has(WORKED_KEYS)
    if key and view.has(QUESTIONS) and key not in QUESTIONS:
        longest = max(view.texts(frozenset({key})), key=len, default="")
        if len(longest.split()) > 5:
            return Sign("reasoning", 0.9, f"questions with worked steps in `{key}`")
    answers = view.texts(ANSWERS) + [
        text_of(one) for one in view.messages if one["role"] == "assistant"
    ]
    if any(WORKED.search(text) for text in answers):
        return Sign("reasoning", 0.9, "questions with worked steps in the answer")
    return None


def _long_context(view: View) -> Sign | None:
    if view.length < LONG_ROW:
        return None
    sizes = {key: sum(map(len, leaves(value))) for key, value in view.fields.items()}
    largest = max(sizes, key=lambda key: sizes[key])
    asked = [key for key in sizes if key != largest and key not in ABOUT_KEYS]
    if sizes[largest] < 0.8 * view.length or not asked or view.messages:
        return None
    if largest in TEXT_KEYS and not view.has(QUESTIONS):
        return None
    strength = 0.88 if view.length >= VERY_LONG_ROW else 0.82
    return Sign("long-context", strength, f"`{largest}` is long and a question asks about it")


def _questions(view: View) -> Sign | None:
    question, answer = view.has(QUESTIONS), view.has(ANSWERS)
    if question and view.has(CHOICES):
        return Sign("question-answering", 0.82, "questions with choices")
    if question and view.has(CONTEXT_KEYS):
        return Sign("question-answering", 0.8, "questions about a given text")
    if question in ("question", "query", "problem", "puzzle", "question_text") and answer:
        return Sign("question-answering", 0.76, f"`{question}` with `{answer}`")
    return _unnamed_questions(view)


def _unnamed_questions(view: View) -> Sign | None:
    """Columns without names: choices before a letter, or a question before an answer."""
    if not view.fields or not all(key.isdecimal() for key in view.keys):
        return None
    cells = [str(value) for value in view.fields.values()]
    if len(cells) >= 4 and LETTER.fullmatch(cells[-1].strip()):
        return Sign("question-answering", 0.85, "columns of question, choices and a letter")
    if len(cells) == 2 and cells[0].rstrip().endswith("?"):
        return Sign("question-answering", 0.7, "columns of question and answer")
    return None


def _instructions(view: View) -> Sign | None:
    if "instruction" in view.keys and view.keys & {"output", "instances", "response", "completion"}:
        return Sign("instruction-following", 0.78, "instructions with an answer each")
    if "prompt" in view.keys:
        if any(key.startswith("instruction") for key in view.keys):
            return Sign("instruction-following", 0.76, "prompts with the rules that they set")
        if view.has(ANSWERS):
            return Sign("instruction-following", 0.72, "prompts with an answer each")
    said = [message["role"] for message in view.messages]
    if said.count("user") == 1 and "assistant" in said:
        return Sign("instruction-following", 0.72, "messages: a request and its answer")
    return None


def _dialogue(view: View) -> Sign | None:
    speakers = Counter(message["role"] for message in view.messages)
    taking_turns = "tool" not in speakers and len(speakers.keys() - {"system"}) > 1
    if taking_turns and len(view.messages) >= 4:
        return Sign("dialogue", 0.84, "speakers take turns")
    turns = view.has(frozenset({"dialogue", "dialog", "utterances", "turns"}))
    if turns and isinstance(view.fields[turns], list) and len(view.fields[turns]) > 1:
        return Sign("dialogue", 0.84, f"turns in `{turns}`")
    return None


def _translation(view: View) -> Sign | None:
    inner = view.fields.get("translation")
    keys = {str(key).lower() for key in inner} if isinstance(inner, dict) else set(view.keys)
    languages = sorted(keys & LANGUAGES - {"id"})
    if len(languages) > 1 and (isinstance(inner, dict) or len(languages) * 2 >= len(keys)):
        return Sign("translation", 0.95, f"the same in {', '.join(languages[:3])}")
    if view.keys & {"source_lang", "src_lang", "target_lang", "tgt_lang"}:
        return Sign("translation", 0.93, "texts with their languages")
    return None


def _labels(view: View) -> Sign | None:
    emotion = view.has(EMOTION_KEYS)
    if emotion and view.has(TEXT_KEYS | QUESTIONS | frozenset({"utterance", "sentence"})):
        return Sign("emotion", 0.88, f"texts with `{emotion}`")
    label = view.has(LABEL_KEYS)
    texts = view.has(TEXT_KEYS | frozenset({"sentence", "utterance", "review", "premise"}))
    if label and texts and len(str(view.fields[label])) <= 40:
        return Sign("classification", 0.78, f"texts with `{label}`")
    return None


def _texts(view: View) -> Sign | None:
    key = view.has(TEXT_KEYS)
    if key and view.keys <= TEXT_KEYS | ABOUT_KEYS and isinstance(view.fields[key], str):
        return Sign("text", 0.8, f"nothing but text in `{key}`")
    summary = view.has(frozenset({"summary", "highlights", "abstract", "tldr"}))
    if key and summary:
        return Sign("summarisation", 0.85, f"`{key}` with `{summary}`")
    return None


DETECTORS: tuple[Callable[[View], Sign | None], ...] = (
    _trajectory, _tool_calls, _calls_sign, _thinking, _preferences, _code,
    _worked_answers_sign, _long_context,
    _questions, _instructions, _dialogue, _translation, _labels, _texts,
)  # fmt: skip


def _inner(part: Mapping[str, Any]) -> list[str]:
    """Keys of `{"type": "function", "function": {...}}`."""
    inner = part.get("function")
    return list(inner) if isinstance(inner, dict) else []


def _parse_nested_json(value: Any) -> Any:
    """JSON that stands in a text, as tool definitions often do."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
    return value


def _is_call(value: Any) -> bool:
    """`{"math.factorial": {"number": [5]}}`"""
    return (
        isinstance(value, dict)
        and len(value) == 1
        and all(re.fullmatch(r"[A-Za-z_][\w.]*", str(name)) for name in value)
        and all(isinstance(arguments, dict) for arguments in value.values())
    )
