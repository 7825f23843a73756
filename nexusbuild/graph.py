"""For the moment."""

from nexusbuild.errors import *  # noqa
from nexusbuild.process.job import *  # noqa
from nexusbuild.rule.graph import *  # noqa
from nexusbuild.rule.graph import Seen  # noqa
