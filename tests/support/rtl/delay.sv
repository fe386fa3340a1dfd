// A value, CYCLES cycles later; 0 after reset.
module delay #(
    parameter int WIDTH = 1,
    parameter int CYCLES = 0
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
    if (CYCLES == 0) begin : wire_only
        logic unused;
        assign unused = &{clk, rst};
        assign out = in;
    end else begin : registers
        logic [CYCLES:1][WIDTH-1:0] line;
        assign out = line[CYCLES];
        always_ff @(posedge clk)
            if (rst) line <= '0;
            else line <= (CYCLES * WIDTH)'({line, in});
    end
endmodule
