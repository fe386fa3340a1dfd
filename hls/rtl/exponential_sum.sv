// The sum of one table entry per class, looked up by the class's distance from the largest logit:
//
//   total = sum_j table[(largest - values[j] + 2^SHIFT / 2) >> SHIFT]
//
// With e^-y in the table this is A, the largest probability's reciprocal; with y e^-y it is B of the entropy. Stage
// FROM holds the distances (`distances`), FROM + 1 the entries, FROM + 1 + ceil(log2 N) the sum.
module exponential_sum #(
    parameter int N = 2,
    parameter int DISTANCE_BITS = 17,
    parameter int SHIFT = 0,
    parameter int ENTRIES = 2,
    parameter int ENTRY_BITS = 1,
    parameter FILE = "",
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                            clk,
    input  logic [STAGES:1]                 load,
    input  logic [N-1:0][DISTANCE_BITS-1:0] distance,
    output logic [ENTRY_BITS+$clog2(N)-1:0] total
);
    logic [N-1:0][ENTRY_BITS-1:0] entry;

    table_bank #(
        .N(N),
        .INDEX_BITS(DISTANCE_BITS),
        .SHIFT(SHIFT),
        .ENTRIES(ENTRIES),
        .BITS(ENTRY_BITS),
        .FILE(FILE)
    ) exponential (
        .clk,
        .load(load[FROM+1]),
        .index(distance),
        .entry
    );
    sum_tree #(.N(N), .BITS(ENTRY_BITS), .STAGES(STAGES), .FROM(FROM + 1)) adders (
        .clk,
        .load,
        .values(entry),
        .sum(total)
    );
endmodule
