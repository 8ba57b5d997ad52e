"""These tests need what constraints/integrations.txt adds to the star: `make test-integrations`.

Elsewhere they are not collected, and a run of this folder alone then fails for want of tests.
"""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("accelerate", "lightning", "peft", "schedulefree", "torchao", "transformers")
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]
