"""What graphs may be computed in, by the names that operators use. Pure, and light to import."""

from __future__ import annotations

F32 = "f32"
PRECISIONS = (F32, "bf16", "f16")
