"""How far each group of figures has been checked, as every report says."""

from __future__ import annotations

from hexit.sim.report.record import Check

CHECKS = (
    Check(
        figures="accuracy, exits, layer speed-up",
        how="counted on the recorded integer logits; integer rules equal the published float rules on every two-class "
        "input (property tests against naive implementations)",
    ),
    Check(
        figures="cycles of matrix products",
        how="closed form equals the schedule exactly, SystemVerilog arrays of ours in Verilator cycle by cycle "
        "(benchmarks/array_rtl.py), and SCALE-Sim 3.0.0 with its presets (benchmarks/scale_sim.py); published "
        "accelerators are within 3 % where nothing was fitted (hexit validate)",
    ),
    Check(
        figures="cycles of vector units and exit head",
        how="fixed_point: our own pipeline assumptions, exact against a naive cycle stepper of them, not against RTL; "
        "float_hls: initiation intervals of published HLS reports",
    ),
    Check(
        figures="cycles of the exit decision",
        how="equal to those of its RTL in Verilator, event by event under random back-pressure, for pipelines of 1 to "
        "20 stages (benchmarks/exit_unit_cycles.py); a clock that the part reaches is assumed",
    ),
    Check(
        figures="waiting, drops and deadlines",
        how="exact against a naive event loop; mean waiting of M/D/1 and of bursts within the error of the simulation",
    ),
    Check(
        figures="off-chip traffic",
        how="bytes counted exactly; bandwidth is the least of memory, ports and requests under way, no DRAM page or "
        "refresh effects; within 2 % of two measured copies over a narrow port (TMMA, one constant fitted)",
    ),
    Check(
        figures="resources",
        how="formulas from published designs, within 4 % LUT and 22 % DSP of FQ-BERT on ZCU102 (docs/model.md); not "
        "synthesised",
    ),
    Check(
        figures="energy and power",
        how="per-operation energies from the literature plus static board power, on the ZCU102 fitted to FQ-BERT's "
        "9.8 W; checked on one other board within 3 % (almost all of it static); dynamic energy alone is unchecked",
    ),
)
