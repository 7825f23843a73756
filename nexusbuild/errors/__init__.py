"""Every error that a person can provoke, worded in one place: what, where, what to do.

Code raises the value that one of these functions returns; the command line prints it and ends
with its exit code. Defects of the builder itself are ordinary exceptions, not these.
"""

# ruff: noqa: F403 (one face for all subjects)

from nexusbuild.errors.commands import *
from nexusbuild.errors.kinds import *
from nexusbuild.errors.runs import *
from nexusbuild.errors.store import *
from nexusbuild.errors.targets import *
