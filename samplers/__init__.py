"""Seeded samplers of the data sets that need no file: tasks small enough to learn in minutes.

Each is a module with `draw(random) -> Row` and with `build`, the work of the data sets that are
made of it: so a change of one sampler, or another one, touches no other's data. What they give is
right by construction, and the tests work every answer out a second way.
"""
