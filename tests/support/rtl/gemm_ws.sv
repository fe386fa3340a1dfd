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
    parameter int LANES = 1,
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

    fold_counter #(.ROWS(ROWS), .COLUMNS(COLUMNS * LANES), .SIZE_BITS(SIZE_BITS)) folds (
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
    fold_counter #(.ROWS(ROWS), .COLUMNS(COLUMNS * LANES), .SIZE_BITS(SIZE_BITS)) load_folds (
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

    logic [ROWS-1:0]                    take;
    logic [ROWS*DATA_BITS-1:0]          x_words;
    logic [COLUMNS*LANES*DATA_BITS-1:0] y_words;
    logic [COLUMNS*LANES*ACC_BITS-1:0]  result_words;
    for (genvar r = 0; r < ROWS; r++) begin : row
        assign x_words[r*DATA_BITS+:DATA_BITS] = x[r];
        // Row r must not lose its old weight before it has been used or swapped: it joins r cycles after row 0.
        assign take[r] = rows_left > 0 && rows_left <= SIZE_BITS'(ROWS - r);
    end
    for (genvar j = 0; j < COLUMNS * LANES; j++) begin : word
        assign y_words[j*DATA_BITS+:DATA_BITS] = y[j];
        assign result[j] = result_words[j*ACC_BITS+:ACC_BITS];
    end
    ws_grid #(
        .ROWS(ROWS),
        .COLUMNS(COLUMNS),
        .X_BITS(DATA_BITS),
        .Y_BITS(DATA_BITS),
        .ACC_BITS(ACC_BITS),
        .LANES(LANES),
        .DOUBLE_BUFFER(OVERLAP_LOAD)
    ) grid (
        .clk,
        .swap(state == STREAM && step == 0),
        .take,
        .x(x_words),
        .y(y_words),
        .result(result_words)
    );

    // The sum below column c in a cycle belongs to the values that entered row 0, ROWS + c cycles before.
    logic last_at[COLUMNS];
    for (genvar c = 0; c < COLUMNS; c++) begin : bottom
        logic [SIZE_BITS-1:0] row_at, lane_at;
        logic                 valid_at, adds_at;
        delay #(.WIDTH(2 * SIZE_BITS + 3), .CYCLES(ROWS + c)) address (
            .clk,
            .in({state == STREAM, streamed, down != 0, step, across}),
            .out({valid_at, last_at[c], adds_at, row_at, lane_at})
        );
        for (genvar i = 0; i < LANES; i++) begin : lane
            assign result_valid[c*LANES+i] = valid_at;
            assign result_row[c*LANES+i]   = row_at;
            assign result_lane[c*LANES+i]  = lane_at;
            assign result_adds[c*LANES+i]  = adds_at;
        end
        if (c < COLUMNS - 1) begin : inner
            logic unused_last;
            assign unused_last = last_at[c];
        end
    end
    assign fold_done = last_at[COLUMNS-1];

    delay #(.WIDTH(1), .CYCLES(ROWS + COLUMNS - 1)) ending (
        .clk,
        .in(streamed && last),
        .out(done)
    );
endmodule
