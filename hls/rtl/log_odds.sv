// The log-odds of class 0 against all others, and on which side of 0 they lie:
//
//   v = ((q_0 - m') << GUARD_BITS) - ln A',     m' = max q_j,  A' = sum e^-(m' - q_j)  over the other classes j >= 1
//
// Stage FROM holds the logits and m'; then distance, exponential, ceil(log2 OTHERS) levels of the sum, logarithm, v
// and its side: v is in stage FROM + 4 + ceil(log2 OTHERS), the side (with v again) one stage later.
module log_odds #(
    parameter int OTHERS = 2,
    parameter int LOGIT_BITS = 16,
    parameter int FRACTION_BITS = 16,
    parameter int GUARD_BITS = 0,
    parameter int VALUE_BITS = 18,
    parameter longint MIN_SIDE = 1,
    parameter int ODDS_EXPONENTIAL_SHIFT = 0,
    parameter int ODDS_EXPONENTIAL_ENTRIES = 2,
    parameter int ODDS_EXPONENTIAL_BITS = 1,
    parameter ODDS_EXPONENTIAL_FILE = "",
    parameter int ODDS_LOGARITHM_SHIFT = 0,
    parameter int ODDS_LOGARITHM_ENTRIES = 2,
    parameter int ODDS_LOGARITHM_BITS = 1,
    parameter ODDS_LOGARITHM_FILE = "",
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                              clk,
    input  logic [STAGES:1]                   load,
    input  logic [OTHERS:0][LOGIT_BITS-1:0]   logits,
    input  logic [LOGIT_BITS-1:0]             largest_other,
    output logic [VALUE_BITS-1:0]             value,
    output logic                              above,
    output logic                              below
);
    localparam int SUM_BITS = ODDS_EXPONENTIAL_BITS + $clog2(OTHERS);
    localparam int SUM_STAGE = FROM + 2 + $clog2(OTHERS);
    localparam longint LARGEST_LOGARITHM = (64'sd1 << ODDS_LOGARITHM_BITS) - 1;
    localparam longint LARGEST_DIFFERENCE = ((64'sd1 << LOGIT_BITS) - 1) << GUARD_BITS;

    if (LARGEST_DIFFERENCE + LARGEST_LOGARITHM >= 64'sd1 << (VALUE_BITS - 1)) begin : value_holds_log_odds
        $error("VALUE_BITS must hold the difference of two logits and the logarithm.");
    end

    logic [OTHERS-1:0][LOGIT_BITS:0]   distance;
    logic [SUM_BITS-1:0]               total;
    logic [ODDS_LOGARITHM_BITS-1:0]    log;
    logic [LOGIT_BITS:0]               difference, lead;
    logic [VALUE_BITS-1:0]             odds;
    logic                              odds_above, odds_below;

    always_ff @(posedge clk)
        if (load[FROM+1])
            difference <= {logits[0][LOGIT_BITS-1], logits[0]} - {largest_other[LOGIT_BITS-1], largest_other};

    distances #(.N(OTHERS), .BITS(LOGIT_BITS), .SHIFT(ODDS_EXPONENTIAL_SHIFT)) below_largest (
        .clk,
        .load(load[FROM+1]),
        .largest(largest_other),
        .values(logits[OTHERS:1]),
        .distance
    );
    exponential_sum #(
        .N(OTHERS),
        .DISTANCE_BITS(LOGIT_BITS + 1),
        .SHIFT(ODDS_EXPONENTIAL_SHIFT),
        .ENTRIES(ODDS_EXPONENTIAL_ENTRIES),
        .ENTRY_BITS(ODDS_EXPONENTIAL_BITS),
        .FILE(ODDS_EXPONENTIAL_FILE),
        .STAGES(STAGES),
        .FROM(FROM + 1)
    ) sum_of_others (
        .clk,
        .load,
        .distance,
        .total
    );
    logarithm #(
        .SUM_BITS(SUM_BITS),
        .FRACTION_BITS(FRACTION_BITS),
        .SHIFT(ODDS_LOGARITHM_SHIFT),
        .ENTRIES(ODDS_LOGARITHM_ENTRIES),
        .BITS(ODDS_LOGARITHM_BITS),
        .FILE(ODDS_LOGARITHM_FILE)
    ) logarithm_of_others (
        .clk,
        .load(load[SUM_STAGE+1]),
        .total,
        .log
    );
    delay_line #(.WIDTH(LOGIT_BITS + 1), .STAGES(STAGES), .FROM(FROM + 1), .TO(SUM_STAGE + 1)) keep_difference (
        .clk,
        .load,
        .in(difference),
        .out(lead)
    );

    always_ff @(posedge clk)
        if (load[SUM_STAGE+2]) odds <= (VALUE_BITS'($signed(lead)) << GUARD_BITS) - VALUE_BITS'(log);

    side_test #(.BITS(VALUE_BITS), .MINIMUM(MIN_SIDE)) side (
        .value(odds),
        .above(odds_above),
        .below(odds_below)
    );
    delay_line #(.WIDTH(VALUE_BITS + 2), .STAGES(STAGES), .FROM(SUM_STAGE + 2), .TO(SUM_STAGE + 3)) side_stage (
        .clk,
        .load,
        .in({odds, odds_above, odds_below}),
        .out({value, above, below})
    );
endmodule
