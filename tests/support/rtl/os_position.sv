// One position of an output-stationary array: LANES sums of products on one multiplier, and their way out.
//
// OVERLAP_FOLDS = 1   `leave` runs through the array behind a fold's last product. It makes a position keep its sums in
//                     `handed` and begin anew. Sums wait there until the column's lowest position has its own: its
//                     `leave`, seen by all positions above as `drain`, starts their way down, a position in a cycle.
// OVERLAP_FOLDS = 0   sums move down themselves while `drain` holds. The zeros that follow them from above, and x = 0
//                     outside a fold, leave nothing behind.
//
// Of the lowest position `below` is the column's result.
module os_position #(
    parameter int X_BITS = 8,
    parameter int Y_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int LANES = 1,
    parameter bit OVERLAP_FOLDS = 1,
    parameter bit LOWEST = 0
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic                      leave,
    input  logic                      drain,
    input  logic signed [X_BITS-1:0]  x,
    input  logic [LANES*Y_BITS-1:0]   y,
    input  logic [LANES*ACC_BITS-1:0] above,
    output logic                      leave_right,
    output logic signed [X_BITS-1:0]  x_right,
    output logic [LANES*Y_BITS-1:0]   y_below,
    output logic [LANES*ACC_BITS-1:0] below
);
    localparam int PRODUCT_BITS = X_BITS + Y_BITS;

    logic [LANES*PRODUCT_BITS-1:0] products;
    logic                          borrow;
    packed_products #(.X_BITS(X_BITS), .Y_BITS(Y_BITS), .LANES(LANES)) multiplier (
        .x,
        .y,
        .products,
        .borrow
    );

    always_ff @(posedge clk) begin
        leave_right <= leave;
        x_right     <= x;
        y_below     <= y;
    end

    logic moving, moves;  // what is in `handed` moves down
    assign moves = moving || drain;
    always_ff @(posedge clk) moving <= moves && !leave;

    for (genvar i = 0; i < LANES; i++) begin : lane
        logic signed [PRODUCT_BITS-1:0] product;
        logic signed [ACC_BITS-1:0]     sum, start, came;
        logic signed [ACC_BITS:0]       next;  // the lowest bits carry the borrow
        assign product = products[i*PRODUCT_BITS+:PRODUCT_BITS];
        assign came    = above[i*ACC_BITS+:ACC_BITS];
        assign start = OVERLAP_FOLDS ? (leave ? '0 : sum) : (drain ? came : sum);

        if (i == 0) begin : plain
            logic unused_borrow;
            assign unused_borrow = borrow;
            assign next = {ACC_BITS'(product) + start, 1'b0};
        end else begin : corrected
            assign next = (ACC_BITS + 1)'($signed({product, borrow})) + $signed({start, 1'b1});
        end
        always_ff @(posedge clk)
            if (rst) sum <= '0;
            else sum <= next[ACC_BITS:1];

        if (!OVERLAP_FOLDS) begin : alone
            assign below[i*ACC_BITS+:ACC_BITS] = sum;
        end else begin : handing_down
            logic [ACC_BITS-1:0] handed;
            if (LOWEST) begin : lowest
                always_ff @(posedge clk) handed <= came;
                assign below[i*ACC_BITS+:ACC_BITS] = leave ? sum : handed;
            end else begin : inner
                always_ff @(posedge clk) if (leave || moves) handed <= leave ? sum : came;
                assign below[i*ACC_BITS+:ACC_BITS] = handed;
            end
        end
        logic unused;
        assign unused = next[0];
    end
endmodule
