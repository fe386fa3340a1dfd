// ROWS x COLUMNS positions of an output-stationary array, and the delays by which row r and column c work r and c cycles
// late. `x` counts while `streams` holds, `leave` follows a fold's last values, `drain` holds with OVERLAP_FOLDS = 0
// while a column's results leave.
module os_grid #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int X_BITS = 8,
    parameter int Y_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int LANES = 1,
    parameter bit OVERLAP_FOLDS = 1
) (
    input  logic                              clk,
    input  logic                              rst,
    input  logic                              streams,
    input  logic                              leave,
    input  logic [COLUMNS-1:0]                drain,
    input  logic [ROWS*X_BITS-1:0]            x,
    input  logic [COLUMNS*LANES*Y_BITS-1:0]   y,
    output logic [COLUMNS*LANES*ACC_BITS-1:0] result
);
    localparam int Y = LANES * Y_BITS;
    localparam int A = LANES * ACC_BITS;

    logic                     leave_at[ROWS][COLUMNS+1];
    logic signed [X_BITS-1:0] x_at[ROWS][COLUMNS+1];
    logic [Y-1:0]             y_at[ROWS+1][COLUMNS];
    logic [A-1:0]             sum_at[ROWS+1][COLUMNS];

    for (genvar r = 0; r < ROWS; r++) begin : row
        delay #(.WIDTH(X_BITS + 1), .CYCLES(r)) late (
            .clk,
            .in({leave, x[r*X_BITS+:X_BITS] & {X_BITS{streams}}}),
            .out({leave_at[r][0], x_at[r][0]})
        );
        for (genvar c = 0; c < COLUMNS; c++) begin : column
            os_position #(
                .X_BITS(X_BITS),
                .Y_BITS(Y_BITS),
                .ACC_BITS(ACC_BITS),
                .LANES(LANES),
                .OVERLAP_FOLDS(OVERLAP_FOLDS),
                .LOWEST(r == ROWS - 1)
            ) position (
                .clk,
                .rst,
                .leave(leave_at[r][c]),
                .drain(OVERLAP_FOLDS ? leave_at[ROWS-1][c] : drain[c]),
                .x(x_at[r][c]),
                .y(y_at[r][c]),
                .above(sum_at[r][c]),
                .leave_right(leave_at[r][c+1]),
                .x_right(x_at[r][c+1]),
                .y_below(y_at[r+1][c]),
                .below(sum_at[r+1][c])
            );
        end
        logic unused_right;
        assign unused_right = &{leave_at[r][COLUMNS], x_at[r][COLUMNS]};
    end

    for (genvar c = 0; c < COLUMNS; c++) begin : edges
        delay #(.WIDTH(Y), .CYCLES(c)) late (
            .clk,
            .in(y[c*Y+:Y]),
            .out(y_at[0][c])
        );
        assign sum_at[0][c]   = '0;
        assign result[c*A+:A] = sum_at[ROWS][c];
        logic unused_bottom;
        assign unused_bottom = &{y_at[ROWS][c], drain[c]};
    end
endmodule
