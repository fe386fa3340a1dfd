// What a sentence's exits so far say together: the run that a rule counts, and the state for the next exit.
//
//   WINNER_RUN     the same class           (winner_run)
//   SMALL_STEP_RUN small steps of a logit   (small_step_run)
//   SIDE_RUN       v on one side of 0       (side_run)
//
// Combinational: the state is read before it and written after it.
module trend #(
    parameter int TREND = 0,
    parameter int BIAS = 0,
    parameter int RUN_LENGTH = 0,
    parameter int CLASS_BITS = 1,
    parameter int LOGIT_BITS = 16,
    parameter int VALUE_BITS = 17,
    parameter int COUNT_BITS = 1,
    parameter int STATE_BITS = 1,
    parameter int WINDOW_LENGTH = 1,
    parameter longint MIN_STEP = 0
) (
    input  logic                                     fresh,
    input  logic [CLASS_BITS-1:0]                    winner,
    input  logic [LOGIT_BITS-1:0]                    logit,
    input  logic [VALUE_BITS-1:0]                    value,
    input  logic                                     above,
    input  logic                                     below,
    input  logic [STATE_BITS-1:0]                    old_state,
    output logic [STATE_BITS-1:0]                    state,
    output logic [COUNT_BITS-1:0]                    count,
    output logic                                     full,
    output logic [WINDOW_LENGTH-1:0][VALUE_BITS-2:0] window
);
    localparam int TREND_NONE = 0, TREND_WINNER_RUN = 1, TREND_SMALL_STEP_RUN = 2, TREND_SIDE_RUN = 3;

    logic unused;
    assign unused = &{fresh, winner, logit, value, above, below, old_state};

    if (TREND == TREND_WINNER_RUN) begin : of_winner
        winner_run #(.CLASS_BITS(CLASS_BITS), .COUNT_BITS(COUNT_BITS), .RUN_LENGTH(RUN_LENGTH)) run (.*);
        assign window = '0;
    end else if (TREND == TREND_SMALL_STEP_RUN) begin : of_small_steps
        small_step_run #(
            .LOGIT_BITS(LOGIT_BITS),
            .COUNT_BITS(COUNT_BITS),
            .RUN_LENGTH(RUN_LENGTH),
            .MIN_STEP(MIN_STEP)
        ) run (.*);
        assign window = '0;
    end else if (TREND == TREND_SIDE_RUN) begin : of_side
        side_run #(
            .VALUE_BITS(VALUE_BITS),
            .COUNT_BITS(COUNT_BITS),
            .RUN_LENGTH(RUN_LENGTH),
            .BIAS(BIAS),
            .STATE_BITS(STATE_BITS),
            .WINDOW_LENGTH(WINDOW_LENGTH)
        ) run (.*);
        assign count = '0;  // no rule lets it leave the unit
    end else begin : none
        assign {state, count, full, window} = '0;
    end

    if (TREND < TREND_NONE || TREND > TREND_SIDE_RUN) begin : known_trend
        $error("There is no such trend.");
    end
    if (TREND != TREND_NONE && RUN_LENGTH < 1) begin : run_has_a_length
        $error("A run must have a length.");
    end
endmodule
