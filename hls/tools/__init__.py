"""Programs that build and prove: Verilator, Yosys, g++, the vendors' HLS."""
