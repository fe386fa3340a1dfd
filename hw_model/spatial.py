"""How the engines of a spatial pipeline share the layers of a network.

    engine g serves consecutive layers; of L layers and G engines the last L mod G ones have one layer more

The first engine sees every sentence and has the prologue as well, so what is left over goes to the back. Not
modelled: shares that follow from how many sentences each engine will see.
"""

from __future__ import annotations

from hexit.quant.errors import ConfigError


def layers_per_engine(n_layers: int, n_engines: int, shares: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Return how many layers each engine serves: `shares`, or as equal as possible with what is left over at the back.

    Raises ConfigError where an engine would have none, and for shares that are not all layers.

    >>> layers_per_engine(12, 5)
    (2, 2, 2, 3, 3)
    """
    if n_engines > n_layers:
        raise ConfigError(
            "design.n_engines",
            n_engines,
            f"must be at most {n_layers}, the layers of the network",
            f"Try n_engines = {n_layers}",
        )
    if shares is not None and sum(shares) != n_layers:
        requirement = f"must be {n_layers} layers together, not {sum(shares)}"
        raise ConfigError("design.engine_layers", list(shares), requirement, "Correct the shares, or leave them out")
    return shares or tuple((n_layers + engine) // n_engines for engine in range(n_engines))
