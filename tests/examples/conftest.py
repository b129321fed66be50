"""Makes the example's modules importable, as they are when its commands run."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "digit_detector"
sys.path.insert(0, str(EXAMPLE))
