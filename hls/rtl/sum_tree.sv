// The sum of N unsigned values, exact: BITS + ceil(log2 N) bits.
//
// A tree of adders, one level per stage: stage FROM holds the values, stage FROM + ceil(log2 N) the sum. A tree is
// one level of pairs, and a tree over their sums, which are one bit wider.
module sum_tree #(
    parameter int N = 2,
    parameter int BITS = 16,
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                      clk,
    // Every block is given the whole pipeline and uses its own stages.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [STAGES:1]           load,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [N-1:0][BITS-1:0]    values,
    output logic [BITS+$clog2(N)-1:0] sum
);
    localparam int NODES = (N + 1) / 2;
    logic [NODES-1:0][BITS:0] partial;

    if (N == 1) begin : root
        logic unused;
        assign unused  = clk & partial[0][BITS];
        assign partial = (BITS + 1)'(values);
        assign sum     = partial[0][BITS-1:0];
    end else begin : level
        for (genvar i = 0; i < NODES; i++) begin : node
            if (2 * i + 1 < N) begin : pair
                always_ff @(posedge clk)
                    if (load[FROM+1]) partial[i] <= (BITS + 1)'(values[2*i]) + (BITS + 1)'(values[2*i+1]);
            end else begin : single
                always_ff @(posedge clk) if (load[FROM+1]) partial[i] <= (BITS + 1)'(values[2*i]);
            end
        end

        sum_tree #(.N(NODES), .BITS(BITS + 1), .STAGES(STAGES), .FROM(FROM + 1)) rest (
            .clk,
            .load,
            .values(partial),
            .sum
        );
    end
endmodule
