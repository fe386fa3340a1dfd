// The folds of a product, one after the other: down in steps of ROWS, then across in steps of COLUMNS.
//
// `down` and `across` are the first row and column of this fold; `last`: no other comes after it.
module fold_counter #(
    parameter int ROWS = 1,
    parameter int COLUMNS = 1,
    parameter int SIZE_BITS = 16
) (
    input  logic                 clk,
    input  logic                 start,  // to the first fold
    input  logic                 next,
    input  logic [SIZE_BITS-1:0] down_size,
    input  logic [SIZE_BITS-1:0] across_size,
    output logic [SIZE_BITS-1:0] down,
    output logic [SIZE_BITS-1:0] across,
    output logic                 last
);
    logic [SIZE_BITS-1:0] down_next, across_next;
    logic                 down_ends;
    assign down_next   = down + SIZE_BITS'(ROWS);
    assign across_next = across + SIZE_BITS'(COLUMNS);
    assign down_ends   = down_next >= down_size;
    assign last        = down_ends && across_next >= across_size;

    always_ff @(posedge clk)
        if (start) begin
            down   <= '0;
            across <= '0;
        end else if (next) begin
            down <= down_ends ? '0 : down_next;
            if (down_ends) across <= across_next;
        end
endmodule
