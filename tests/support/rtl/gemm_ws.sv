// A whole product on a weight-stationary array:  result[t][j] = sum_i x[t][i] y[i][j].
//
// x (streamed_size x down_size) and y (down_size x across_size) lie in memories that answer within the cycle and say 0
// outside the matrix. A fold holds ROWS x COLUMNS values of y, which enter from above, a row of them in a cycle, the
// lowest first. Row r of the array works r cycles after row 0, column c another c later. A sum leaves the bottom row
// in the cycle after its last product; the memory of the results adds up the folds of a column.
//
//   one fold            ROWS (weights) + CONTROL_CYCLES + streamed_size + (ROWS + COLUMNS - 2) + 1 cycles
//   OVERLAP_FOLDS = 0   the next fold starts when the last sum has left
//   OVERLAP_FOLDS = 1   the next fold starts when this one's last values have entered
//   OVERLAP_LOAD = 1    the next fold's weights come from this one's first value on
//
// Cycles count from the one after `start` to the one with `done`, both included.
module gemm_ws #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int DATA_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int SIZE_BITS = 16,
    parameter bit OVERLAP_FOLDS = 0,
    parameter bit OVERLAP_LOAD = 0,
    parameter int CONTROL_CYCLES = 0
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        start,
    input  logic [SIZE_BITS-1:0]        down_size,
    input  logic [SIZE_BITS-1:0]        across_size,
    input  logic [SIZE_BITS-1:0]        streamed_size,
    output logic [SIZE_BITS-1:0]        x_row,
    output logic [SIZE_BITS-1:0]        x_lane,  // of x[0]
    input  logic signed [DATA_BITS-1:0] x            [ROWS],
    output logic [SIZE_BITS-1:0]        y_row,
    output logic [SIZE_BITS-1:0]        y_lane,  // of y[0]
    input  logic signed [DATA_BITS-1:0] y            [COLUMNS],
    output logic                        result_valid [COLUMNS],
    output logic [SIZE_BITS-1:0]        result_row   [COLUMNS],
    output logic [SIZE_BITS-1:0]        result_lane  [COLUMNS],  // of column 0 of the array
    output logic                        result_adds  [COLUMNS],  // to the word that is there
    output logic signed [ACC_BITS-1:0]  result       [COLUMNS],
    output logic                        done
);
    if (ACC_BITS < 2 * DATA_BITS) begin : a_sum_holds_a_product
        $error("ACC_BITS must be at least 2 DATA_BITS.");
    end

    typedef enum logic [2:0] {IDLE, CONTROL, LOAD, STREAM, FINISH} state_t;

    state_t               state;
    logic [SIZE_BITS-1:0] step;       // cycles spent in CONTROL or STREAM
    logic [SIZE_BITS-1:0] rows_left;  // of the fold whose weights come
    logic                 loaded;     // the fold that streams next has all its weights, or gets the last one now
    logic                 loads;      // the weights of a fold begin to come in the next cycle

    logic [SIZE_BITS-1:0] down, across, load_down, load_across;
    logic                 last, load_last, more_to_load, fold_start, stream_starts, streamed, fold_done, control_ends;
    logic                 begun;  // the next fold's weights have begun to come

    assign control_ends  = state == CONTROL && step + 1'b1 == SIZE_BITS'(CONTROL_CYCLES);
    assign streamed      = state == STREAM && step + 1'b1 == streamed_size;
    assign fold_start    = (state == IDLE && start) || (OVERLAP_FOLDS ? streamed && !last : state == FINISH && fold_done);
    assign loaded        = begun && rows_left <= 1;
    assign stream_starts = loaded && (state == LOAD || control_ends || (fold_start && CONTROL_CYCLES == 0));

    // Weights come when a fold is due, or with OVERLAP_LOAD, but for the first, as soon as the one before streams.
    assign loads = OVERLAP_LOAD && stream_starts ? more_to_load
                 : !begun && (CONTROL_CYCLES > 0 ? control_ends : fold_start);

    fold_counter #(.ROWS(ROWS), .COLUMNS(COLUMNS), .SIZE_BITS(SIZE_BITS)) folds (
        .clk,
        .start(start),
        .next(streamed),
        .down_size,
        .across_size,
        .down,
        .across,
        .last
    );
    // The counter of the weights is one fold ahead from the cycle in which their last row comes.
    fold_counter #(.ROWS(ROWS), .COLUMNS(COLUMNS), .SIZE_BITS(SIZE_BITS)) load_folds (
        .clk,
        .start(start),
        .next(rows_left == 1),
        .down_size,
        .across_size,
        .down(load_down),
        .across(load_across),
        .last(load_last)
    );

    logic loaded_last;  // the weights of the last fold have come
    assign more_to_load = !(rows_left == 1 ? load_last : loaded_last);

    always_ff @(posedge clk)
        if (rst) begin
            state     <= IDLE;
            rows_left <= '0;
            begun     <= 1'b0;
        end else begin
            step <= step + 1'b1;
            unique case (state)
                IDLE:    if (start) state <= CONTROL_CYCLES > 0 ? CONTROL : LOAD;
                CONTROL: if (control_ends) state <= stream_starts ? STREAM : LOAD;
                LOAD:    if (stream_starts) state <= STREAM;
                STREAM:
                    if (streamed)
                        state <= last ? IDLE
                               : !OVERLAP_FOLDS ? FINISH
                               : CONTROL_CYCLES > 0 ? CONTROL
                               : stream_starts ? STREAM
                               : LOAD;
                FINISH:
                    if (fold_done) state <= CONTROL_CYCLES > 0 ? CONTROL : stream_starts ? STREAM : LOAD;
                default: state <= IDLE;
            endcase
            if (fold_start || stream_starts) step <= '0;

            if (start) loaded_last <= 1'b0;
            else if (rows_left == 1) loaded_last <= load_last;
            if (loads) begin
                rows_left <= SIZE_BITS'(ROWS);
                begun     <= 1'b1;
            end else begin
                if (rows_left > 0) rows_left <= rows_left - 1'b1;
                if (stream_starts) begun <= 1'b0;
            end
        end

    assign x_row  = step;
    assign x_lane = down;
    assign y_row  = load_down + rows_left - 1'b1;
    assign y_lane = load_across;

    // The grid: position (r, c) takes x from its left, weight and sum from above; row r and column c are fed late.
    logic signed [DATA_BITS-1:0] x_at[ROWS][COLUMNS+1];
    logic                        take_at[ROWS][COLUMNS+1];
    logic                        swap_at[ROWS][COLUMNS+1];
    logic signed [DATA_BITS-1:0] weight_at[ROWS+1][COLUMNS];
    logic signed [ACC_BITS-1:0]  sum_at[ROWS+1][COLUMNS];

    for (genvar r = 0; r < ROWS; r++) begin : row
        delay #(.WIDTH(DATA_BITS + 1), .CYCLES(r)) late (
            .clk,
            .rst,
            .in({state == STREAM && step == 0, x[r]}),
            .out({swap_at[r][0], x_at[r][0]})
        );
        // Row r must not lose its old weight before it has been used or swapped: it joins r cycles after row 0.
        assign take_at[r][0] = rows_left > 0 && rows_left <= SIZE_BITS'(ROWS - r);
        for (genvar c = 0; c < COLUMNS; c++) begin : column
            ws_position #(.DATA_BITS(DATA_BITS), .ACC_BITS(ACC_BITS), .DOUBLE_BUFFER(OVERLAP_LOAD)) position (
                .clk,
                .rst,
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

    // The sum below column c in a cycle belongs to the values that entered row 0, ROWS + c cycles before.
    logic last_at[COLUMNS];
    for (genvar c = 0; c < COLUMNS; c++) begin : bottom
        delay #(.WIDTH(DATA_BITS), .CYCLES(c)) late (
            .clk,
            .rst,
            .in(y[c]),
            .out(weight_at[0][c])
        );
        delay #(.WIDTH(2 * SIZE_BITS + 3), .CYCLES(ROWS + c)) address (
            .clk,
            .rst,
            .in({state == STREAM, streamed, down != 0, step, across}),
            .out({result_valid[c], last_at[c], result_adds[c], result_row[c], result_lane[c]})
        );
        assign sum_at[0][c] = '0;
        assign result[c]    = sum_at[ROWS][c];
        logic unused_bottom;
        assign unused_bottom = &{weight_at[ROWS][c], last_at[c]};
    end
    assign fold_done = last_at[COLUMNS-1];

    delay #(.WIDTH(1), .CYCLES(ROWS + COLUMNS - 1)) ending (
        .clk,
        .rst,
        .in(streamed && last),
        .out(done)
    );
endmodule
