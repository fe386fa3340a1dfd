// The largest of N signed values and its index; of equal values the one that stands first.
//
// A tree of comparators, one level per stage: stage FROM holds the values, stage FROM + ceil(log2 N) the result. A
// tree is one level of pairs, and a tree over the larger ones.
module argmax_tree #(
    parameter int N = 2,
    parameter int BITS = 16,
    parameter int INDEX_BITS = 1,
    parameter int STAGES = 1,
    parameter int FROM = 0
) (
    input  logic                         clk,
    // Every block is given the whole pipeline and uses its own stages.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [STAGES:1]              load,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [N-1:0][BITS-1:0]       values,
    input  logic [N-1:0][INDEX_BITS-1:0] indices,
    output logic [BITS-1:0]              largest,
    output logic [INDEX_BITS-1:0]        winner
);
    localparam int NODES = (N + 1) / 2;
    logic [NODES-1:0][BITS-1:0]       value;
    logic [NODES-1:0][INDEX_BITS-1:0] index;

    if (N == 1) begin : root
        logic unused;
        assign unused  = clk;
        assign value   = values;
        assign index   = indices;
        assign largest = value;
        assign winner  = index;
    end else begin : level
        for (genvar i = 0; i < NODES; i++) begin : node
            if (2 * i + 1 < N) begin : pair
                logic second_wins;
                assign second_wins = $signed(values[2*i+1]) > $signed(values[2*i]);
                always_ff @(posedge clk)
                    if (load[FROM+1]) begin
                        value[i] <= second_wins ? values[2*i+1] : values[2*i];
                        index[i] <= second_wins ? indices[2*i+1] : indices[2*i];
                    end
            end else begin : single
                always_ff @(posedge clk)
                    if (load[FROM+1]) begin
                        value[i] <= values[2*i];
                        index[i] <= indices[2*i];
                    end
            end
        end

        argmax_tree #(
            .N(NODES),
            .BITS(BITS),
            .INDEX_BITS(INDEX_BITS),
            .STAGES(STAGES),
            .FROM(FROM + 1)
        ) rest (
            .clk,
            .load,
            .values(value),
            .indices(index),
            .largest,
            .winner
        );
    end
endmodule
