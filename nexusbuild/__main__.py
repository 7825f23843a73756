"""`python -m nexusbuild`."""

import sys

from nexusbuild.cli import main

sys.exit(main())
