"""Programs that never end, and a host that may be busy: what they say before their timeout."""

from __future__ import annotations

import pytest

from ebbtide import Machine, ProcessTimeout


async def said_in_time(machine: Machine, *args: str) -> str:
    """Run a program until its timeout ends it; it gets longer until it has said something."""
    timeout, said = 0.5, ""
    while not said:
        with pytest.raises(ProcessTimeout) as caught:
            await machine.run(*args, timeout=timeout)
        timeout, said = timeout * 4, str(caught.value.stdout)
    return said
