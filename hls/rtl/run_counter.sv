// How often in a row something has held, up to RUN_LENGTH; combinational.
//
//   count = continues ? min(old_count + 1, RUN_LENGTH) : FIRST          full = count >= RUN_LENGTH
module run_counter #(
    parameter int BITS = 1,
    parameter int RUN_LENGTH = 1,
    parameter int FIRST = 1  // 1 counts events, 0 steps between them
) (
    input  logic            continues,
    input  logic [BITS-1:0] old_count,
    output logic [BITS-1:0] count,
    output logic            full
);
    logic nearly_full;  // one more is enough
    assign nearly_full = (BITS + 1)'(old_count) + 1'b1 >= (BITS + 1)'(RUN_LENGTH);

    always_comb begin
        if (!continues) count = BITS'(FIRST);
        else if (nearly_full) count = BITS'(RUN_LENGTH);
        else count = old_count + 1'b1;
    end
    assign full = continues ? nearly_full : FIRST >= RUN_LENGTH;
endmodule
