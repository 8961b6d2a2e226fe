"""``python -m mfnet_agents.cli`` is `mfnet`."""

import sys

from mfnet_agents.cli import main

sys.exit(main())
