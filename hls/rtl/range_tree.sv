// The smallest and the largest value of N ranges of unsigned numbers.
//
// Two trees of comparators side by side, one level per stage: stage FROM holds the ranges, stage FROM + ceil(log2 N)
// the result. A tree is one level of pairs, and a tree over what they span.
module range_tree #(
    parameter int N = 2,
    parameter int BITS = 16,
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                   clk,
    // Every block is given the whole pipeline and uses its own stages.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [STAGES:1]        load,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [N-1:0][BITS-1:0] low,
    input  logic [N-1:0][BITS-1:0] high,
    output logic [BITS-1:0]        smallest,
    output logic [BITS-1:0]        largest
);
    localparam int NODES = (N + 1) / 2;
    logic [NODES-1:0][BITS-1:0] lower, higher;

    if (N == 1) begin : root
        logic unused;
        assign unused   = clk;
        assign lower    = low;
        assign higher   = high;
        assign smallest = lower;
        assign largest  = higher;
    end else begin : level
        for (genvar i = 0; i < NODES; i++) begin : node
            if (2 * i + 1 < N) begin : pair
                always_ff @(posedge clk)
                    if (load[FROM+1]) begin
                        lower[i]  <= low[2*i+1] < low[2*i] ? low[2*i+1] : low[2*i];
                        higher[i] <= high[2*i+1] > high[2*i] ? high[2*i+1] : high[2*i];
                    end
            end else begin : single
                always_ff @(posedge clk)
                    if (load[FROM+1]) begin
                        lower[i]  <= low[2*i];
                        higher[i] <= high[2*i];
                    end
            end
        end

        range_tree #(.N(NODES), .BITS(BITS), .STAGES(STAGES), .FROM(FROM + 1)) rest (
            .clk,
            .load,
            .low(lower),
            .high(higher),
            .smallest,
            .largest
        );
    end
endmodule
