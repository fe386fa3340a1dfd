"""A naive model of the exit unit's pipeline: registers, stepped cycle by cycle as the hardware does."""

from __future__ import annotations

from collections.abc import Sequence

from hexit.hw_model.exit_unit.timing import ExitUnitTiming


def stepped_cycles(
    timing: ExitUnitTiming, slots: Sequence[int], arrivals: Sequence[int], ready: Sequence[bool]
) -> list[tuple[int, int, int]]:
    """(accepted, visible, taken) of every event of one stream."""
    n_stages = timing.latency_cycles
    register: list[int | None] = [None] * n_stages  # the event that each stage holds
    accepted, visible, taken = ([-1] * len(slots) for _ in range(3))
    offered, now = 0, 0
    while -1 in taken:
        out = register[-1]
        if out is not None and visible[out] < 0:
            visible[out] = now
        moves = now >= len(ready) or ready[now]  # the consumer, then each stage from the last to the first
        after = register.copy()
        for stage in reversed(range(n_stages)):
            held = register[stage]
            if stage == n_stages - 1 and held is not None and moves:
                taken[held] = now
            if held is not None and moves:
                after[stage] = None
            enters = register[stage - 1] if stage else offered_event(offered, arrivals, now)
            moves = held is None or moves
            if moves and enters is not None and stage + 1 == timing.state_stage and timing.state_cycles == 2:
                moves = held is None or slots[held] != slots[enters]  # else the state that it reads is being written
            if moves and enters is not None:
                after[stage] = enters
                if stage == 0:
                    accepted[enters] = now
                    offered += 1
        register, now = after, now + 1
    return list(zip(accepted, visible, taken, strict=True))


def offered_event(index: int, arrivals: Sequence[int], now: int) -> int | None:
    return index if index < len(arrivals) and arrivals[index] <= now else None
