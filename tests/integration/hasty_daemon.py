"""`accel-daemon`, which gives an accelerator to the next principal after two idle seconds, not 30.

What happens then is the same, and tests need not wait so long for it. How long it takes is held by
the tests of tenancies.
"""

from __future__ import annotations

from accel_daemon.__main__ import main
from accel_daemon.supervisor import tenancy

if __name__ == "__main__":
    tenancy.IDLE_SECONDS = 2.0
    main()
