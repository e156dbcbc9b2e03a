"""``python -m vmae_zoo``: the same program as ``vmae-zoo``."""

import sys

from vmae_zoo.cli.main import main

sys.exit(main())
