"""Seeded samplers of the data sets that need no file: tasks small enough to learn in minutes.

Each module is one, by its name, with `draw(random) -> Row`: a data set is made of the sampler that
it names, so a change of one sampler, or another one, touches no other's data. What they share
stands in `parts/`. What they give is right by construction, and the tests work every answer out a
second way.
"""
