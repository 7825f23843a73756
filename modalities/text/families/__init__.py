"""Model families that the build can make: each module is one, by its name.

A module has `decoder_config(shape, vocabulary)` and literal constants, which are read without
importing it: PRELOAD (the module of transformers that a build imports once), MLP_MATRICES (in one
block), CAN_SHIP (whether the backbone may be of it).
"""
