// The run of events whose value v lies on one side of 0, and the state for the next event; combinational.
//
//   BIAS 1: the side is that of the event before     BIAS 2: and v has not stepped back towards 0
//   BIAS 3: as 1; the distances |v| of the last RUN_LENGTH events leave as `window`, newest first, for window_test
//
// `full`: the run is RUN_LENGTH long and its side is not the middle. State from bit 0: count, side (above, below),
// then v (BIAS 2) or the RUN_LENGTH - 1 distances before, newest first (BIAS 3).
module side_run #(
    parameter int VALUE_BITS = 17,
    parameter int COUNT_BITS = 1,
    parameter int RUN_LENGTH = 1,
    parameter int BIAS = 1,
    parameter int STATE_BITS = 3,
    parameter int WINDOW_LENGTH = 1  // RUN_LENGTH with BIAS 3, else not used
) (
    input  logic                                     fresh,
    input  logic [VALUE_BITS-1:0]                    value,
    input  logic                                     above,
    input  logic                                     below,
    input  logic [STATE_BITS-1:0]                    old_state,
    output logic [STATE_BITS-1:0]                    state,
    output logic                                     full,
    output logic [WINDOW_LENGTH-1:0][VALUE_BITS-2:0] window
);
    localparam int DISTANCE_BITS = VALUE_BITS - 1;
    localparam int KEPT = COUNT_BITS + 2;  // where the fields that depend on BIAS begin

    logic [COUNT_BITS-1:0] count;
    logic                  same_side, continues, counter_full;

    assign same_side = {above, below} == old_state[COUNT_BITS+:2];
    assign state[KEPT-1:0] = {above, below, count};
    assign full = counter_full && (above || below);

    if (BIAS == 2) begin : keeps_direction
        logic [VALUE_BITS-1:0] old_value;
        logic                  rises, falls;
        assign old_value = old_state[KEPT+:VALUE_BITS];
        assign rises = $signed(value) > $signed(old_value);
        assign falls = $signed(value) < $signed(old_value);
        assign continues = !fresh && same_side && !(above && falls) && !(below && rises);
        assign state[KEPT+:VALUE_BITS] = value;
    end else begin : keeps_side
        assign continues = !fresh && same_side;
    end

    if (BIAS == 3) begin : keeps_window
        logic [DISTANCE_BITS-1:0] distance;
        assign distance  = value[VALUE_BITS-1] ? -value[DISTANCE_BITS-1:0] : value[DISTANCE_BITS-1:0];
        assign window[0] = distance;
        if (RUN_LENGTH > 1) begin : shifts
            localparam int WINDOW_BITS = (RUN_LENGTH - 1) * DISTANCE_BITS;
            assign window[RUN_LENGTH-1:1] = old_state[KEPT+:WINDOW_BITS];
            assign state[KEPT+:WINDOW_BITS] = window[RUN_LENGTH-2:0];
        end
    end else begin : no_window
        logic unused;
        assign unused = &value;
        assign window = '0;
    end

    run_counter #(.BITS(COUNT_BITS), .RUN_LENGTH(RUN_LENGTH), .FIRST(1)) counter (
        .continues,
        .old_count(old_state[COUNT_BITS-1:0]),
        .count,
        .full(counter_full)
    );
endmodule
