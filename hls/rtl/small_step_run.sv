// The run of small steps of a regression, |q - q_before| < MIN_STEP, and the state for the next event; combinational.
//
// State from bit 0: count, value.
module small_step_run #(
    parameter int LOGIT_BITS = 16,
    parameter int COUNT_BITS = 1,
    parameter int RUN_LENGTH = 1,
    parameter longint MIN_STEP = 1
) (
    input  logic                             fresh,
    input  logic [LOGIT_BITS-1:0]            logit,
    input  logic [LOGIT_BITS+COUNT_BITS-1:0] old_state,
    output logic [LOGIT_BITS+COUNT_BITS-1:0] state,
    output logic [COUNT_BITS-1:0]            count,
    output logic                             full
);
    logic [LOGIT_BITS-1:0] old_logit;
    logic [COUNT_BITS-1:0] old_count;
    logic [LOGIT_BITS:0]   step;
    logic                  far_above, far_below;
    assign {old_logit, old_count} = old_state;
    assign step = {logit[LOGIT_BITS-1], logit} - {old_logit[LOGIT_BITS-1], old_logit};

    side_test #(.BITS(LOGIT_BITS + 1), .MINIMUM(MIN_STEP)) large_step (
        .value(step),
        .above(far_above),
        .below(far_below)
    );
    run_counter #(.BITS(COUNT_BITS), .RUN_LENGTH(RUN_LENGTH), .FIRST(0)) counter (
        .continues(!fresh && !far_above && !far_below),
        .old_count,
        .count,
        .full
    );
    assign state = {logit, count};
endmodule
