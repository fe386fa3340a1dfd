// The class with the largest logit, the first of equals, and what other blocks need on the way to it.
//
//   one class      nothing to search
//   two classes    difference = q_0 - q_1, in stage 1; its sign is the class
//   more           a tree of comparators; with OTHERS_FIRST over the classes from 1 on, which class 0 joins last
//
// `largest_other` is in stage OTHERS_STAGE, the largest logit and the winner in stage WINNER_STAGE.
module winner_search #(
    parameter int N_CLASSES = 2,
    parameter int LOGIT_BITS = 16,
    parameter int CLASS_BITS = 1,
    parameter bit OTHERS_FIRST = 0,
    parameter int OTHERS_STAGE = 1,
    parameter int STAGES = 1
) (
    input  logic                                 clk,
    input  logic [STAGES:1]                      load,
    input  logic [N_CLASSES-1:0][LOGIT_BITS-1:0] logits,
    input  logic [LOGIT_BITS-1:0]                first_logit,  // of class 0, in stage OTHERS_STAGE
    output logic [LOGIT_BITS:0]                  difference,
    output logic [LOGIT_BITS-1:0]                largest_other,
    output logic [LOGIT_BITS-1:0]                largest,
    output logic [CLASS_BITS-1:0]                winner
);
    logic [N_CLASSES-1:0][CLASS_BITS-1:0] index;
    logic [CLASS_BITS-1:0]                other_winner;
    logic                                 unused;

    for (genvar j = 0; j < N_CLASSES; j++) begin : of_class
        assign index[j] = CLASS_BITS'(j);
    end
    assign unused = &{clk, load, logits, first_logit, index, other_winner};

    if (N_CLASSES == 2) begin : pair
        always_ff @(posedge clk)
            if (load[1]) difference <= {logits[0][LOGIT_BITS-1], logits[0]} - {logits[1][LOGIT_BITS-1], logits[1]};
        assign winner = difference[LOGIT_BITS];
    end else begin : no_difference
        assign difference = '0;
    end

    if (N_CLASSES > 2 && OTHERS_FIRST) begin : others_and_first
        argmax_tree #(
            .N(N_CLASSES - 1),
            .BITS(LOGIT_BITS),
            .INDEX_BITS(CLASS_BITS),
            .STAGES(STAGES)
        ) others (
            .clk,
            .load,
            .values(logits[N_CLASSES-1:1]),
            .indices(index[N_CLASSES-1:1]),
            .largest(largest_other),
            .winner(other_winner)
        );
        argmax_tree #(
            .N(2),
            .BITS(LOGIT_BITS),
            .INDEX_BITS(CLASS_BITS),
            .STAGES(STAGES),
            .FROM(OTHERS_STAGE)
        ) all (
            .clk,
            .load,
            .values({largest_other, first_logit}),
            .indices({other_winner, index[0]}),
            .largest,
            .winner
        );
    end else begin : no_others
        assign largest_other = '0;
        assign other_winner  = '0;
        if (N_CLASSES > 2) begin : tree
            argmax_tree #(.N(N_CLASSES), .BITS(LOGIT_BITS), .INDEX_BITS(CLASS_BITS), .STAGES(STAGES)) all (
                .clk,
                .load,
                .values(logits),
                .indices(index),
                .largest,
                .winner
            );
        end else begin : no_tree
            assign largest = '0;
        end
    end
    if (N_CLASSES == 1) begin : one
        assign winner = '0;
    end
endmodule
