// ROWS x COLUMNS positions of a weight-stationary array, and the delays by which row r and column c work r and c cycles
// late. Row r takes the weights from above while `take[r]` holds; `swap` comes with a fold's first x.
module ws_grid #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int X_BITS = 8,
    parameter int Y_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int LANES = 1,
    parameter bit DOUBLE_BUFFER = 0
) (
    input  logic                              clk,
    input  logic                              swap,
    input  logic [ROWS-1:0]                   take,
    input  logic [ROWS*X_BITS-1:0]            x,
    input  logic [COLUMNS*LANES*Y_BITS-1:0]   y,
    output logic [COLUMNS*LANES*ACC_BITS-1:0] result
);
    localparam int Y = LANES * Y_BITS;
    localparam int A = LANES * ACC_BITS;

    logic                     take_at[ROWS][COLUMNS+1];
    logic                     swap_at[ROWS][COLUMNS+1];
    logic signed [X_BITS-1:0] x_at[ROWS][COLUMNS+1];
    logic [Y-1:0]             weight_at[ROWS+1][COLUMNS];
    logic [A-1:0]             sum_at[ROWS+1][COLUMNS];

    for (genvar r = 0; r < ROWS; r++) begin : row
        delay #(.WIDTH(X_BITS + 1), .CYCLES(r)) late (
            .clk,
            .in({swap, x[r*X_BITS+:X_BITS]}),
            .out({swap_at[r][0], x_at[r][0]})
        );
        assign take_at[r][0] = take[r];
        for (genvar c = 0; c < COLUMNS; c++) begin : column
            ws_position #(
                .X_BITS(X_BITS),
                .Y_BITS(Y_BITS),
                .ACC_BITS(ACC_BITS),
                .LANES(LANES),
                .DOUBLE_BUFFER(DOUBLE_BUFFER)
            ) position (
                .clk,
                .take(take_at[r][c]),
                .swap(swap_at[r][c]),
                .x(x_at[r][c]),
                .weight_above(weight_at[r][c]),
                .sum_above(sum_at[r][c]),
                .take_right(take_at[r][c+1]),
                .swap_right(swap_at[r][c+1]),
                .x_right(x_at[r][c+1]),
                .weight_below(weight_at[r+1][c]),
                .sum_below(sum_at[r+1][c])
            );
        end
        logic unused_right;
        assign unused_right = &{take_at[r][COLUMNS], swap_at[r][COLUMNS], x_at[r][COLUMNS]};
    end

    for (genvar c = 0; c < COLUMNS; c++) begin : edges
        delay #(.WIDTH(Y), .CYCLES(c)) late (
            .clk,
            .in(y[c*Y+:Y]),
            .out(weight_at[0][c])
        );
        assign sum_at[0][c]   = '0;
        assign result[c*A+:A] = sum_at[ROWS][c];
        logic unused_bottom;
        assign unused_bottom = &weight_at[ROWS][c];
    end
endmodule
