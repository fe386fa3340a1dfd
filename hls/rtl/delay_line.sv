// A value that travels with its event: from the register (or input, stage 0) of stage FROM to that of stage TO.
module delay_line #(
    parameter int WIDTH = 1,
    parameter int STAGES = 1,
    parameter int FROM = 0,
    parameter int TO = 1
) (
    input  logic             clk,
    // Every block is given the whole pipeline and uses the stages FROM+1 .. TO.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [STAGES:1]  load,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
    logic [TO-FROM:0][WIDTH-1:0] value;
    assign value[0] = in;
    assign out = value[TO-FROM];

    if (TO == FROM) begin : wire_only
        logic unused;
        assign unused = clk;
    end
    for (genvar i = FROM + 1; i <= TO; i++) begin : stage
        always_ff @(posedge clk) if (load[i]) value[i-FROM] <= value[i-FROM-1];
    end
endmodule
