// Whether the entropy of the softmax is below a threshold:   H < h   <=>   A (ln A - h) + B < 0
//
// A = sum e^-y and B = sum y e^-y over the distances y of all classes from the largest logit (exponential_sum). Stage
// FROM holds A and B, FROM + 1 ln A, FROM + 2 ln A - h, FROM + 3 the product; `holds` is combinational after it.
// Every width follows from the tables' widths; nothing is rounded.
module entropy_test #(
    parameter int SUM_BITS = 18,
    parameter int WEIGHTED_SUM_BITS = 18,
    parameter int FRACTION_BITS = 16,
    parameter longint THRESHOLD = 0,
    parameter int LOGARITHM_SHIFT = 0,
    parameter int LOGARITHM_ENTRIES = 2,
    parameter int LOGARITHM_BITS = 1,
    parameter LOGARITHM_FILE = "",
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                         clk,
    input  logic [STAGES:1]              load,
    input  logic [SUM_BITS-1:0]          total,
    input  logic [WEIGHTED_SUM_BITS-1:0] weighted_total,
    output logic                         holds
);
    localparam int THRESHOLD_BITS = $clog2(THRESHOLD + 1);
    localparam int EXCESS_BITS = 1 + (LOGARITHM_BITS > THRESHOLD_BITS ? LOGARITHM_BITS : THRESHOLD_BITS);
    localparam int PRODUCT_BITS = SUM_BITS + EXCESS_BITS;
    localparam int ADDED_BITS = WEIGHTED_SUM_BITS + FRACTION_BITS + 1;
    localparam int LEFT_BITS = 1 + (PRODUCT_BITS > ADDED_BITS ? PRODUCT_BITS : ADDED_BITS);

    logic        [LOGARITHM_BITS-1:0]    log;
    logic        [SUM_BITS-1:0]          factor;
    logic        [WEIGHTED_SUM_BITS-1:0] added;
    logic signed [EXCESS_BITS-1:0]       excess;
    logic signed [PRODUCT_BITS-1:0]      product;

    logarithm #(
        .SUM_BITS(SUM_BITS),
        .FRACTION_BITS(FRACTION_BITS),
        .SHIFT(LOGARITHM_SHIFT),
        .ENTRIES(LOGARITHM_ENTRIES),
        .BITS(LOGARITHM_BITS),
        .FILE(LOGARITHM_FILE)
    ) logarithm_of_sum (
        .clk,
        .load(load[FROM+1]),
        .total,
        .log
    );
    delay_line #(.WIDTH(SUM_BITS), .STAGES(STAGES), .FROM(FROM), .TO(FROM + 2)) keep_sum (
        .clk,
        .load,
        .in(total),
        .out(factor)
    );
    delay_line #(.WIDTH(WEIGHTED_SUM_BITS), .STAGES(STAGES), .FROM(FROM), .TO(FROM + 3)) keep_weighted (
        .clk,
        .load,
        .in(weighted_total),
        .out(added)
    );

    always_ff @(posedge clk) if (load[FROM+2]) excess <= EXCESS_BITS'(log) - EXCESS_BITS'(THRESHOLD);
    always_ff @(posedge clk)
        if (load[FROM+3]) product <= PRODUCT_BITS'(excess) * $signed({{EXCESS_BITS{1'b0}}, factor});

    // Only the sign of the sum is asked for.
    // verilator lint_off UNUSEDSIGNAL
    logic signed [LEFT_BITS-1:0] left;
    // verilator lint_on UNUSEDSIGNAL
    assign left  = LEFT_BITS'(product) + $signed(LEFT_BITS'({added, {FRACTION_BITS{1'b0}}}));
    assign holds = left[LEFT_BITS-1];
endmodule
