// One position of a weight-stationary array: LANES sums pass it, sum_below = sum_above + x weight, on one multiplier.
//
// Weights move down while `take` holds, each row until its own has come. With DOUBLE_BUFFER they move through a second
// register, which `swap`, sent with the first x of a fold, makes the weight; so the next fold's weights come while
// this one streams.
module ws_position #(
    parameter int X_BITS = 8,
    parameter int Y_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int LANES = 1,
    parameter bit DOUBLE_BUFFER = 0
) (
    input  logic                      clk,
    input  logic                      take,
    input  logic                      swap,
    input  logic signed [X_BITS-1:0]  x,
    input  logic [LANES*Y_BITS-1:0]   weight_above,
    input  logic [LANES*ACC_BITS-1:0] sum_above,
    output logic                      take_right,
    output logic                      swap_right,
    output logic signed [X_BITS-1:0]  x_right,
    output logic [LANES*Y_BITS-1:0]   weight_below,
    output logic [LANES*ACC_BITS-1:0] sum_below
);
    localparam int PRODUCT_BITS = X_BITS + Y_BITS;

    logic [LANES*Y_BITS-1:0] weight;

    always_ff @(posedge clk) if (take) weight_below <= weight_above;

    if (DOUBLE_BUFFER) begin : two_weights
        logic [LANES*Y_BITS-1:0] kept;
        assign weight = swap ? weight_below : kept;
        always_ff @(posedge clk) kept <= weight;
    end else begin : one_weight
        assign weight = weight_below;
    end

    logic [LANES*PRODUCT_BITS-1:0] products;
    logic                          borrow;
    packed_products #(.X_BITS(X_BITS), .Y_BITS(Y_BITS), .LANES(LANES)) multiplier (
        .x,
        .y(weight),
        .products,
        .borrow
    );

    always_ff @(posedge clk) begin
        take_right <= take;
        swap_right <= swap;
        x_right    <= x;
    end

    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [PRODUCT_BITS-1:0] product;
        logic signed [ACC_BITS-1:0]     came;
        logic signed [ACC_BITS:0]       next;  // the lowest bits carry the borrow
        assign product = products[i*PRODUCT_BITS+:PRODUCT_BITS];
        assign came    = sum_above[i*ACC_BITS+:ACC_BITS];
        if (i == 0) begin : plain
            logic unused_borrow;
            assign unused_borrow = borrow;
            assign next = {ACC_BITS'(product) + came, 1'b0};
        end else begin : corrected
            assign next = (ACC_BITS + 1)'($signed({product, borrow})) + $signed({came, 1'b1});
        end
        always_ff @(posedge clk) sum_below[i*ACC_BITS+:ACC_BITS] <= next[ACC_BITS:1];
        logic unused;
        assign unused = next[0];
    end
endmodule
