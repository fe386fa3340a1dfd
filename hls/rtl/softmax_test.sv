// The test on the softmax of more than two classes, without exponential, logarithm or division:
//
//   probability   max p >= C   <=>   A <= SUM_LIMIT                     A = sum_j e^-(m - q_j)
//   entropy       H < h        <=>   A (ln A - h) + B < 0               B = sum_j (m - q_j) e^-(m - q_j)
//
// Stage FROM holds the logits and the largest of them, m; then distance, exponential and ceil(log2 N) levels of the
// sums up to stage SUM_STAGE = FROM + 2 + ceil(log2 N), which holds `total` = A. `holds` is combinational after
// SUM_STAGE (probability) or SUM_STAGE + 3 (entropy).
module softmax_test #(
    parameter int N_CLASSES = 3,
    parameter int LOGIT_BITS = 16,
    parameter int FRACTION_BITS = 16,
    parameter int SUM_BITS = 18,
    parameter bit ENTROPY = 0,
    parameter longint ENTROPY_THRESHOLD = 0,
    parameter longint SUM_LIMIT = 0,
    parameter int EXPONENTIAL_SHIFT = 0,
    parameter int EXPONENTIAL_ENTRIES = 2,
    parameter int EXPONENTIAL_BITS = 1,
    parameter EXPONENTIAL_FILE = "",
    parameter int WEIGHTED_SHIFT = 0,
    parameter int WEIGHTED_ENTRIES = 2,
    parameter int WEIGHTED_BITS = 1,
    parameter WEIGHTED_FILE = "",
    parameter int LOGARITHM_SHIFT = 0,
    parameter int LOGARITHM_ENTRIES = 2,
    parameter int LOGARITHM_BITS = 1,
    parameter LOGARITHM_FILE = "",
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                                 clk,
    input  logic [STAGES:1]                      load,
    input  logic [N_CLASSES-1:0][LOGIT_BITS-1:0] logits,
    input  logic [LOGIT_BITS-1:0]                largest,
    output logic [SUM_BITS-1:0]                  total,
    output logic                                 holds
);
    localparam int TREE_BITS = EXPONENTIAL_BITS + $clog2(N_CLASSES);
    localparam int SUM_STAGE = FROM + 2 + $clog2(N_CLASSES);

    logic [N_CLASSES-1:0][LOGIT_BITS:0] distance;
    // Entries of at most 1 add up to N_CLASSES, which may need a bit less.
    // verilator lint_off UNUSEDSIGNAL
    logic [TREE_BITS-1:0]               tree_total;
    // verilator lint_on UNUSEDSIGNAL
    assign total = tree_total[SUM_BITS-1:0];

    distances #(.N(N_CLASSES), .BITS(LOGIT_BITS), .SHIFT(EXPONENTIAL_SHIFT)) below_largest (
        .clk,
        .load(load[FROM+1]),
        .largest,
        .values(logits),
        .distance
    );
    exponential_sum #(
        .N(N_CLASSES),
        .DISTANCE_BITS(LOGIT_BITS + 1),
        .SHIFT(EXPONENTIAL_SHIFT),
        .ENTRIES(EXPONENTIAL_ENTRIES),
        .ENTRY_BITS(EXPONENTIAL_BITS),
        .FILE(EXPONENTIAL_FILE),
        .STAGES(STAGES),
        .FROM(FROM + 1)
    ) sum (
        .clk,
        .load,
        .distance,
        .total(tree_total)
    );

    if (ENTROPY) begin : entropy
        localparam int WEIGHTED_SUM_BITS = WEIGHTED_BITS + $clog2(N_CLASSES);
        logic [WEIGHTED_SUM_BITS-1:0] weighted_total;

        exponential_sum #(
            .N(N_CLASSES),
            .DISTANCE_BITS(LOGIT_BITS + 1),
            .SHIFT(WEIGHTED_SHIFT),
            .ENTRIES(WEIGHTED_ENTRIES),
            .ENTRY_BITS(WEIGHTED_BITS),
            .FILE(WEIGHTED_FILE),
            .STAGES(STAGES),
            .FROM(FROM + 1)
        ) weighted_sum (
            .clk,
            .load,
            .distance,
            .total(weighted_total)
        );
        entropy_test #(
            .SUM_BITS(SUM_BITS),
            .WEIGHTED_SUM_BITS(WEIGHTED_SUM_BITS),
            .FRACTION_BITS(FRACTION_BITS),
            .THRESHOLD(ENTROPY_THRESHOLD),
            .LOGARITHM_SHIFT(LOGARITHM_SHIFT),
            .LOGARITHM_ENTRIES(LOGARITHM_ENTRIES),
            .LOGARITHM_BITS(LOGARITHM_BITS),
            .LOGARITHM_FILE(LOGARITHM_FILE),
            .STAGES(STAGES),
            .FROM(SUM_STAGE)
        ) test (
            .clk,
            .load,
            .total,
            .weighted_total,
            .holds
        );
    end else begin : probability
        logic too_large;
        at_least #(.BITS(SUM_BITS), .MINIMUM(SUM_LIMIT + 1)) limit (
            .value(total),
            .holds(too_large)
        );
        assign holds = !too_large;
    end
endmodule
