// Distance of N signed values from the largest, with half an address step of the tables added:
//
//   distance[j] = (largest + 2^SHIFT / 2) - values[j]
//
// The half is added once, to the largest. One stage.
module distances #(
    parameter int N = 2,
    parameter int BITS = 16,
    parameter int SHIFT = 0
) (
    input  logic                   clk,
    input  logic                   load,
    input  logic [BITS-1:0]        largest,
    input  logic [N-1:0][BITS-1:0] values,
    output logic [N-1:0][BITS:0]   distance
);
    localparam int HALF = (1 << SHIFT) >> 1;

    logic [BITS:0] start;  // modulo 2^(BITS + 1): the distances fit, the start itself need not
    assign start = {largest[BITS-1], largest} + (BITS + 1)'(HALF);

    for (genvar j = 0; j < N; j++) begin : of_class
        always_ff @(posedge clk)
            if (load) distance[j] <= start - {values[j][BITS-1], values[j]};
    end
endmodule
