// ln A for a sum A >= 1 in steps of 2^-FRACTION_BITS, from a table over A - 1; one stage.
module logarithm #(
    parameter int SUM_BITS = 18,
    parameter int FRACTION_BITS = 16,
    parameter int SHIFT = 0,
    parameter int ENTRIES = 2,
    parameter int BITS = 1,
    parameter FILE = ""
) (
    input  logic                clk,
    input  logic                load,
    input  logic [SUM_BITS-1:0] total,
    output logic [BITS-1:0]     log
);
    localparam int HALF = (1 << SHIFT) >> 1;

    logic [SUM_BITS-1:0] above_one;
    assign above_one = total + SUM_BITS'(HALF - (1 << FRACTION_BITS));

    table_bank #(.N(1), .INDEX_BITS(SUM_BITS), .SHIFT(SHIFT), .ENTRIES(ENTRIES), .BITS(BITS), .FILE(FILE)) table_ (
        .clk,
        .load,
        .index(above_one),
        .entry(log)
    );
endmodule
