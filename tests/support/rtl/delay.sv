// A value, CYCLES cycles later. Without a reset, so that synthesis makes shift registers of it.
module delay #(
    parameter int WIDTH = 1,
    parameter int CYCLES = 0
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
    if (CYCLES == 0) begin : wire_only
        logic unused;
        assign unused = clk;
        assign out = in;
    end else begin : registers
        logic [CYCLES*WIDTH-1:0] line;
        assign out = line[(CYCLES-1)*WIDTH+:WIDTH];
        always_ff @(posedge clk) line <= (CYCLES * WIDTH)'({line, in});
    end
endmodule
