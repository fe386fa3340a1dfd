// The run of one winning class: its length at this event, and the state that the next one needs; combinational.
//
// State from bit 0: count, winner.
module winner_run #(
    parameter int CLASS_BITS = 1,
    parameter int COUNT_BITS = 1,
    parameter int RUN_LENGTH = 1
) (
    input  logic                             fresh,
    input  logic [CLASS_BITS-1:0]            winner,
    input  logic [CLASS_BITS+COUNT_BITS-1:0] old_state,
    output logic [CLASS_BITS+COUNT_BITS-1:0] state,
    output logic [COUNT_BITS-1:0]            count,
    output logic                             full
);
    logic [CLASS_BITS-1:0] old_winner;
    logic [COUNT_BITS-1:0] old_count;
    assign {old_winner, old_count} = old_state;

    run_counter #(.BITS(COUNT_BITS), .RUN_LENGTH(RUN_LENGTH), .FIRST(1)) counter (
        .continues(!fresh && winner == old_winner),
        .old_count,
        .count,
        .full
    );
    assign state = {winner, count};
endmodule
