"""A small spec with nothing wrong, which tests break."""

SMALL = """\
nexus: 1
name: small
datasets:
  sums: {sample: word_problems, rows: 3000}
  calls: {path: data/calls.jsonl, prompt: query, response: call, licence: MIT}
teachers:
  - id: scholar
    source: {train: {family: llama, hidden: 128, layers: 4, heads: 4, steps: 500}}
    capabilities: [reasoning]
  - id: operator
    source: {path: models/operator}
    licence: MIT
    load: fp32
    capabilities: [tools]
capabilities:
  reasoning: {dataset: sums, metric: final_answer}
  tools: {dataset: calls, metric: json_equal}
contracts:
  reasoning: {retain_fraction: 0.97}
  router: {at_least: 0.95}
licences: {allow: [MIT, CC0-1.0]}
student:
  backbone: {hidden: 128, heads: 4}
bundle:
  include: [reasoning, tools]
"""
