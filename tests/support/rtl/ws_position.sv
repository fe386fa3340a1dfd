// One position of a weight-stationary array: sum_below = sum_above + x weight.
//
// Weights move down while `take` holds, each row until its own has come. With DOUBLE_BUFFER they move through a second
// register, which `swap`, sent with the first x of a fold, makes the weight; so the next fold's weights come while
// this one streams.
module ws_position #(
    parameter int DATA_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter bit DOUBLE_BUFFER = 0
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        take,
    input  logic                        swap,
    input  logic signed [DATA_BITS-1:0] x,
    input  logic signed [DATA_BITS-1:0] weight_above,
    input  logic signed [ACC_BITS-1:0]  sum_above,
    output logic                        take_right,
    output logic                        swap_right,
    output logic signed [DATA_BITS-1:0] x_right,
    output logic signed [DATA_BITS-1:0] weight_below,
    output logic signed [ACC_BITS-1:0]  sum_below
);
    logic signed [DATA_BITS-1:0] weight;

    always_ff @(posedge clk) if (take) weight_below <= weight_above;

    if (DOUBLE_BUFFER) begin : two_weights
        logic signed [DATA_BITS-1:0] kept;
        assign weight = swap ? weight_below : kept;
        always_ff @(posedge clk) kept <= weight;
    end else begin : one_weight
        assign weight = weight_below;
    end

    always_ff @(posedge clk) begin
        take_right <= take && !rst;
        swap_right <= swap && !rst;
        x_right    <= x;
        sum_below  <= sum_above + ACC_BITS'(x) * ACC_BITS'(weight);
    end
endmodule
