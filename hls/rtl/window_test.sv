// Whether the largest distance of a window is within what the smallest one allows:
//
//   max_i window[i] <= limits[(min_i window[i]) >> SHIFT], and no bound beyond the last entry
//
// Stage FROM holds the window; ceil(log2 N) levels of two trees, then the read of the limit: stage
// FROM + ceil(log2 N) + 1 holds limit and largest distance, `holds` is combinational after it.
module window_test #(
    parameter int N = 1,
    parameter int BITS = 16,
    parameter int LIMITS_SHIFT = 0,
    parameter int LIMITS_ENTRIES = 1,
    parameter int LIMITS_BITS = 1,
    parameter LIMITS_FILE = "",
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                   clk,
    input  logic [STAGES:1]        load,
    input  logic [N-1:0][BITS-1:0] window,
    output logic                   holds
);
    localparam int LIMIT_STAGE = FROM + $clog2(N) + 1;
    localparam int COMPARED_BITS = BITS > LIMITS_BITS ? BITS : LIMITS_BITS;

    logic [BITS-1:0]        smallest, largest, kept_largest;
    logic                   beyond, unbounded;
    logic [LIMITS_BITS-1:0] limit;

    range_tree #(.N(N), .BITS(BITS), .STAGES(STAGES), .FROM(FROM)) trees (
        .clk,
        .load,
        .low(window),
        .high(window),
        .smallest,
        .largest
    );
    at_least #(.BITS(BITS), .MINIMUM(longint'(LIMITS_ENTRIES) << LIMITS_SHIFT)) end_of_limits (
        .value(smallest),
        .holds(beyond)
    );
    table_bank #(
        .N(1),
        .INDEX_BITS(BITS),
        .SHIFT(LIMITS_SHIFT),
        .ENTRIES(LIMITS_ENTRIES),
        .BITS(LIMITS_BITS),
        .FILE(LIMITS_FILE)
    ) limits (
        .clk,
        .load(load[LIMIT_STAGE]),
        .index(smallest),
        .entry(limit)
    );
    delay_line #(.WIDTH(BITS + 1), .STAGES(STAGES), .FROM(LIMIT_STAGE - 1), .TO(LIMIT_STAGE)) keep_largest (
        .clk,
        .load,
        .in({largest, beyond}),
        .out({kept_largest, unbounded})
    );

    assign holds = unbounded || COMPARED_BITS'(kept_largest) <= COMPARED_BITS'(limit);
endmodule
