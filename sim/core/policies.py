"""Which sentences a queue drops, by name.

Apart from sim.core.queueing, so that a command line loads no compiler.
"""

from __future__ import annotations

from typing import Literal

DropPolicy = Literal["never", "full", "late"]
