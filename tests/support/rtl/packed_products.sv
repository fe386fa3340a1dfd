// Products of x with LANES values of y, 1 or 2, on one multiplier. Two values of y lie STRIDE bits apart in its wide port.
//
// The lower product reaches into the upper one by its sign alone, so the upper one is `products` + `borrow`.
module packed_products #(
    parameter int X_BITS = 8,
    parameter int Y_BITS = 8,
    parameter int LANES = 1,
    localparam int PRODUCT_BITS = X_BITS + Y_BITS
) (
    input  logic signed [X_BITS-1:0]             x,
    input  logic        [LANES*Y_BITS-1:0]       y,
    output logic        [LANES*PRODUCT_BITS-1:0] products,
    output logic                                 borrow
);
    if (LANES == 1) begin : one
        assign products = PRODUCT_BITS'(x) * PRODUCT_BITS'($signed(y));
        assign borrow   = 1'b0;
    end else begin : two
        localparam int STRIDE = PRODUCT_BITS + 2;
        localparam int WIDE_BITS = STRIDE + Y_BITS + 1;  // the least y[1] beside a negative y[0] needs the last one
        localparam int WHOLE_BITS = STRIDE + PRODUCT_BITS;
        logic signed [WIDE_BITS-1:0]  lower, upper, wide;
        logic signed [WHOLE_BITS-1:0] whole;
        assign lower    = WIDE_BITS'($signed(y[0+:Y_BITS]));
        assign upper    = WIDE_BITS'($signed({y[Y_BITS+:Y_BITS], STRIDE'(0)}));
        assign wide     = upper + lower;
        assign whole    = WHOLE_BITS'(x) * WHOLE_BITS'(wide);
        assign products = {whole[STRIDE+:PRODUCT_BITS], whole[0+:PRODUCT_BITS]};
        assign borrow   = whole[STRIDE-1];
        logic unused;
        assign unused = whole[PRODUCT_BITS];
    end
endmodule
