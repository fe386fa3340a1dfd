// One position of an output-stationary array: sum += x y, while the sums of the fold before move down.
//
// Two registers take turns: sums[set] accumulates, sums[!set] hands its content down and takes that of the position
// above. `set` changes when a fold's last product has been added. It runs through the array with x and y, so the
// position below changes a cycle later, and the result handed down waits for it in `below`.
module os_position #(
    parameter int DATA_BITS = 8,
    parameter int ACC_BITS = 32
) (
    input  logic                        clk,
    input  logic                        rst,
    input  logic                        valid,
    input  logic                        set,
    input  logic signed [DATA_BITS-1:0] x,
    input  logic signed [DATA_BITS-1:0] y,
    input  logic signed [ACC_BITS-1:0]  above,
    output logic                        valid_right,
    output logic                        set_right,
    output logic signed [DATA_BITS-1:0] x_right,
    output logic signed [DATA_BITS-1:0] y_below,
    output logic signed [ACC_BITS-1:0]  leaving,
    output logic signed [ACC_BITS-1:0]  below
);
    logic signed [ACC_BITS-1:0] sums[2];
    assign leaving = sums[!set];

    always_ff @(posedge clk)
        if (rst) begin
            sums[0]     <= '0;
            sums[1]     <= '0;
            valid_right <= 1'b0;
            set_right   <= 1'b0;
        end else begin
            if (valid) sums[set] <= sums[set] + ACC_BITS'(x) * ACC_BITS'(y);
            sums[!set]  <= above;
            valid_right <= valid;
            set_right   <= set;
        end

    always_ff @(posedge clk) begin
        x_right <= x;
        y_below <= y;
        below   <= rst ? '0 : leaving;
    end
endmodule
