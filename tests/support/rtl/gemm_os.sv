// A whole product on an output-stationary array:  result[i][j] = sum_t x[t][i] y[t][j].
//
// x (streamed_size x down_size) and y (streamed_size x across_size) lie in memories that answer within the cycle and
// say 0 outside the matrix. A fold holds ROWS x COLUMNS results. Row r of the array works r cycles after row 0, column
// c another c later. When a fold's last values have entered, its sums leave downwards, COLUMNS in a cycle, the bottom
// row first, so they take ROWS cycles behind the wavefront.
//
//   one fold              (ROWS + COLUMNS - 2) + streamed_size + ROWS cycles
//   OVERLAP_FOLDS = 0     the next fold starts when the last result has left
//   OVERLAP_FOLDS = 1     the next fold starts behind this one; its sums wait until those before have left row 0
//   CONTROL_CYCLES        idle before each fold
//
// Cycles count from the one after `start` to the one with `done`, both included.
module gemm_os #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int LANES = 1,
    parameter int DATA_BITS = 8,
    parameter int ACC_BITS = 32,
    parameter int SIZE_BITS = 16,
    parameter bit OVERLAP_FOLDS = 0,
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
    input  logic signed [DATA_BITS-1:0] y            [COLUMNS*LANES],
    output logic                        result_valid [COLUMNS*LANES],
    output logic [SIZE_BITS-1:0]        result_row   [COLUMNS*LANES],
    output logic [SIZE_BITS-1:0]        result_lane  [COLUMNS*LANES],  // of column 0 of the array
    output logic                        result_adds  [COLUMNS*LANES],  // to the word that is there
    output logic signed [ACC_BITS-1:0]  result       [COLUMNS*LANES],
    output logic                        done
);
    if (ACC_BITS < 2 * DATA_BITS) begin : a_sum_holds_a_product
        $error("ACC_BITS must be at least 2 DATA_BITS.");
    end

    typedef enum logic [2:0] {IDLE, CONTROL, STREAM, HOLD, FINISH} state_t;
    localparam state_t FIRST = CONTROL_CYCLES > 0 ? CONTROL : STREAM;

    state_t               state;
    logic [SIZE_BITS-1:0] step;  // cycles spent in CONTROL or STREAM
    logic                 left;  // a fold's last values have entered in the cycle before

    // The fold that streams, and the one whose sums leave.
    logic [SIZE_BITS-1:0] down, across, leaving_down, leaving_across, rows_left;
    logic                 last, leaving_last, streamed, leave, fold_done, control_ends;

    assign control_ends = state == CONTROL && step + 1'b1 == SIZE_BITS'(CONTROL_CYCLES);
    assign streamed = state == HOLD || (state == STREAM && step + 1'b1 == streamed_size);
    assign leave    = streamed && rows_left <= 1;

    fold_counter #(.ROWS(ROWS), .COLUMNS(COLUMNS * LANES), .SIZE_BITS(SIZE_BITS)) folds (
        .clk,
        .start,
        .next(leave),
        .down_size,
        .across_size,
        .down,
        .across,
        .last
    );

    always_ff @(posedge clk)
        if (rst) begin
            state     <= IDLE;
            left      <= 1'b0;
            rows_left <= '0;
        end else begin
            step <= step + 1'b1;
            left <= leave;
            unique case (state)
                IDLE:    if (start) state <= FIRST;
                CONTROL: if (control_ends) state <= STREAM;
                STREAM, HOLD:
                    if (leave) state <= last ? IDLE : OVERLAP_FOLDS ? FIRST : FINISH;
                    else if (streamed) state <= HOLD;
                FINISH:  if (fold_done) state <= FIRST;
                default: state <= IDLE;
            endcase
            if (start || leave || control_ends || state == FINISH) step <= '0;
            if (leave) begin
                rows_left      <= SIZE_BITS'(ROWS);
                leaving_down   <= down;
                leaving_across <= across;
                leaving_last   <= last;
            end else if (rows_left > 0) rows_left <= rows_left - 1'b1;
        end

    assign x_row  = step;
    assign y_row  = step;
    assign x_lane = down;
    assign y_lane = across;

    logic [COLUMNS-1:0]                 drain;
    logic [ROWS*DATA_BITS-1:0]          x_words;
    logic [COLUMNS*LANES*DATA_BITS-1:0] y_words;
    logic [COLUMNS*LANES*ACC_BITS-1:0]  result_words;
    for (genvar r = 0; r < ROWS; r++) begin : row
        assign x_words[r*DATA_BITS+:DATA_BITS] = x[r];
    end
    for (genvar j = 0; j < COLUMNS * LANES; j++) begin : word
        assign y_words[j*DATA_BITS+:DATA_BITS] = y[j];
        assign result[j] = result_words[j*ACC_BITS+:ACC_BITS];
    end
    os_grid #(
        .ROWS(ROWS),
        .COLUMNS(COLUMNS),
        .X_BITS(DATA_BITS),
        .Y_BITS(DATA_BITS),
        .ACC_BITS(ACC_BITS),
        .LANES(LANES),
        .OVERLAP_FOLDS(OVERLAP_FOLDS)
    ) grid (
        .clk,
        .rst,
        .streams(state == STREAM),
        .leave(left),
        .drain,
        .x(x_words),
        .y(y_words),
        .result(result_words)
    );

    // What leaves the bottom row of column c in a cycle entered the way out at row 0, ROWS - 1 + c cycles before.
    logic                 last_at[COLUMNS];
    logic [SIZE_BITS-1:0] leaving_row;
    assign leaving_row = leaving_down + rows_left - 1'b1;
    for (genvar c = 0; c < COLUMNS; c++) begin : bottom
        logic [SIZE_BITS-1:0] row_at, lane_at;
        delay #(.WIDTH(2 * SIZE_BITS + 2), .CYCLES(ROWS - 1 + c)) address (
            .clk,
            .in({rows_left > 0, rows_left == 1, leaving_row, leaving_across}),
            .out({drain[c], last_at[c], row_at, lane_at})
        );
        for (genvar i = 0; i < LANES; i++) begin : lane
            assign result_valid[c*LANES+i] = drain[c];
            assign result_row[c*LANES+i]   = row_at;
            assign result_lane[c*LANES+i]  = lane_at;
            assign result_adds[c*LANES+i]  = 1'b0;
        end
        if (c < COLUMNS - 1) begin : inner
            logic unused_last;
            assign unused_last = last_at[c];
        end
    end
    assign fold_done = last_at[COLUMNS-1];

    delay #(.WIDTH(1), .CYCLES(ROWS - 1 + COLUMNS - 1)) ending (
        .clk,
        .in(rows_left == 1 && leaving_last),
        .out(done)
    );
endmodule
