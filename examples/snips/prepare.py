"""Turn the SNIPS benchmark's annotated training files into one file of rows.

Usage: python prepare.py FOLDER, where FOLDER is `2017-06-custom-intent-engines` of
snipsco/nlu-benchmark. Writes `data/train.jsonl` next to this file.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows_of_intent(file: Path) -> Iterator[dict[str, Any]]:
    """One row per utterance; the first value where a slot repeats."""
    [(intent, utterances)] = json.loads(file.read_text(encoding="utf-8", errors="replace")).items()
    for utterance in utterances:
        parts = utterance["data"]
        slots: dict[str, str] = {}
        for part in parts:
            if "entity" in part:
                slots.setdefault(part["entity"], part["text"].strip())
        query = "".join(part["text"] for part in parts).strip()
        yield {"query": query, "tool_calls": [{"name": intent, "arguments": slots}]}


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__ or "")
        return 2
    files = sorted(Path(sys.argv[1]).glob("*/train_*_full.json"))
    if not files:
        sys.stderr.write(f"{sys.argv[1]}: no train_*_full.json below it; wrong folder?\n")
        return 2
    rows = [row for file in files for row in rows_of_intent(file)]
    random.Random(0).shuffle(rows)
    target = Path(__file__).parent / "data" / "train.jsonl"
    target.parent.mkdir(exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) for row in rows)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(rows)} rows of {len(files)} intents in {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
