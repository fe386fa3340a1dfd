// The exit unit: from the logits of one exit of one sentence to the decision to leave there.
//
//   (slot, layer, logits)  -->  (slot, exit, winner, layer, confidence)
//
//   exit   = at a layer of EXIT_MASK where the confidence test or the trend over the sentence's exits holds, and
//            always at layer N_LAYERS
//   winner = index of the largest logit, the first of equals; 0 for a regression
//
// Sentences of N_SLOTS slots may be interleaved; the layers of a sentence come in order. A sentence's state starts
// afresh at and before FIRST_EXIT_LAYER; a layer without an exit neither reads nor changes it.
//
// Pipeline, LATENCY stages (`load[i]`: stage i takes a new event, see pipeline_control):
//
//   1 .. WINNER_STAGE       difference of two logits, or the tree for the largest
//     .. FRONT              exponential sums, logarithm, product (confidence test); log-odds and their side (trend)
//   FRONT + 1               state read, updated and written on the way into it
//     .. LATENCY - 1        smallest and largest distance of a window, its limit (BIAS 3; else FRONT = LATENCY - 1)
//   LATENCY                 decision
//
// The parameters are the names of hls/constants.py; STATE_CYCLES and the tables' files come on top.
module exit_unit #(
    parameter int N_CLASSES = 2,
    parameter int LOGIT_BITS = 16,
    parameter int N_LAYERS = 12,
    parameter int N_SLOTS = 1,
    parameter int CLASS_BITS = 1,
    parameter int LAYER_BITS = 4,
    parameter int SLOT_BITS = 1,
    parameter int FIRST_EXIT_LAYER = 1,
    parameter logic [N_LAYERS:0] EXIT_MASK = '1,
    parameter int CONFIDENCE_BITS = 0,
    parameter int FRACTION_BITS = 16,
    parameter int GUARD_BITS = 0,
    parameter int VALUE_BITS = 17,
    parameter int SUM_BITS = 18,
    parameter int COUNT_BITS = 1,
    parameter int RUN_LENGTH = 0,
    parameter int STATE_BITS = 1,
    parameter int TEST = 0,
    parameter longint MIN_DIFFERENCE = 0,
    parameter int FIXED_LAYER = 0,
    parameter longint ENTROPY_THRESHOLD = 0,
    parameter longint SUM_LIMIT = 0,
    parameter int TREND = 0,
    parameter int BIAS = 0,
    parameter longint MIN_STEP = 0,
    parameter longint MIN_SIDE = 0,
    parameter int EXPONENTIAL_SHIFT = 0,
    parameter int EXPONENTIAL_ENTRIES = 0,
    parameter int EXPONENTIAL_BITS = 1,
    parameter int WEIGHTED_SHIFT = 0,
    parameter int WEIGHTED_ENTRIES = 0,
    parameter int WEIGHTED_BITS = 1,
    parameter int LOGARITHM_SHIFT = 0,
    parameter int LOGARITHM_ENTRIES = 0,
    parameter int LOGARITHM_BITS = 1,
    parameter int ODDS_EXPONENTIAL_SHIFT = 0,
    parameter int ODDS_EXPONENTIAL_ENTRIES = 0,
    parameter int ODDS_EXPONENTIAL_BITS = 1,
    parameter int ODDS_LOGARITHM_SHIFT = 0,
    parameter int ODDS_LOGARITHM_ENTRIES = 0,
    parameter int ODDS_LOGARITHM_BITS = 1,
    parameter int LIMITS_SHIFT = 0,
    parameter int LIMITS_ENTRIES = 0,
    parameter int LIMITS_BITS = 1,
    parameter int STATE_CYCLES = 1,
    parameter EXPONENTIAL_FILE = "",
    parameter WEIGHTED_FILE = "",
    parameter LOGARITHM_FILE = "",
    parameter ODDS_EXPONENTIAL_FILE = "",
    parameter ODDS_LOGARITHM_FILE = "",
    parameter LIMITS_FILE = "",
    parameter int LATENCY_CYCLES = 1  // what the generator expects
) (
    input  logic                                               clk,
    input  logic                                               rst,
    input  logic                                               in_valid,
    output logic                                               in_ready,
    input  logic [SLOT_BITS-1:0]                               in_slot,
    input  logic [LAYER_BITS-1:0]                              in_layer,
    input  logic [N_CLASSES-1:0][LOGIT_BITS-1:0]               in_logits,
    output logic                                               out_valid,
    input  logic                                               out_ready,
    output logic [SLOT_BITS-1:0]                               out_slot,
    output logic                                               out_exit,
    output logic [CLASS_BITS-1:0]                              out_winner,
    output logic [LAYER_BITS-1:0]                              out_layer,
    output logic [(CONFIDENCE_BITS>0?CONFIDENCE_BITS:1)-1:0]   out_confidence
);
    localparam int TEST_NONE = 0, TEST_DIFFERENCE = 1, TEST_ENTROPY = 2, TEST_PROBABILITY = 3, TEST_FIXED_LAYER = 4;
    localparam int TREND_NONE = 0, TREND_WINNER_RUN = 1, TREND_SIDE_RUN = 3;  // 2, small steps: see trend.sv

    localparam bit HAS_STATE = TREND != TREND_NONE;
    localparam bit HAS_WINDOW = TREND == TREND_SIDE_RUN && BIAS == 3;
    localparam bit HAS_LOG_ODDS = TREND == TREND_SIDE_RUN && N_CLASSES > 2;
    localparam bit HAS_SUM = TEST == TEST_ENTROPY || TEST == TEST_PROBABILITY;

    // The register in which each result lies.
    localparam int OTHERS_STAGE = N_CLASSES > 2 ? $clog2(N_CLASSES - 1) : 1;
    localparam int WINNER_STAGE = HAS_LOG_ODDS ? OTHERS_STAGE + 1 : N_CLASSES > 2 ? $clog2(N_CLASSES) : 1;
    localparam int SUM_STAGE = WINNER_STAGE + 2 + $clog2(N_CLASSES);
    localparam int CONFIDENCE_STAGE = TEST == TEST_ENTROPY ? SUM_STAGE + 3
                                    : TEST == TEST_PROBABILITY ? SUM_STAGE
                                    : HAS_STATE || TEST == TEST_DIFFERENCE ? WINNER_STAGE
                                    : WINNER_STAGE - 1;
    localparam int SIDE_STAGE = HAS_LOG_ODDS ? OTHERS_STAGE + 5 + OTHERS_STAGE : 0;
    localparam int FRONT = SIDE_STAGE > CONFIDENCE_STAGE ? SIDE_STAGE : CONFIDENCE_STAGE;
    localparam int LATENCY = FRONT + 1 + (HAS_WINDOW ? $clog2(RUN_LENGTH) + 2 : 0);
    localparam int RESULT_BITS = CONFIDENCE_BITS > 0 ? CONFIDENCE_BITS : 1;

    if (LATENCY != LATENCY_CYCLES) begin : same_latency
        $error("The generator expects a pipeline of another length than this one has.");
    end
    if (TEST < TEST_NONE || TEST > TEST_FIXED_LAYER) begin : known_test
        $error("There is no such test.");
    end
    if (N_CLASSES != 2 && TEST == TEST_DIFFERENCE) begin : difference_has_two_classes
        $error("The difference test needs two classes.");
    end
    if (N_CLASSES < 2 && (HAS_SUM || TREND == TREND_SIDE_RUN || TREND == TREND_WINNER_RUN))
    begin : rule_serves_a_regression
        $error("Only a run of small steps and a fixed layer can serve a regression.");
    end
    if (TEST == TEST_ENTROPY && (WEIGHTED_SHIFT != EXPONENTIAL_SHIFT || WEIGHTED_ENTRIES != EXPONENTIAL_ENTRIES))
    begin : tables_share_addresses
        $error("The tables e^-y and y e^-y must share their addresses.");
    end
    if (HAS_WINDOW && STATE_BITS != COUNT_BITS + 2 + (RUN_LENGTH - 1) * (VALUE_BITS - 1)) begin : state_holds_the_window
        $error("The state must hold counter, side and RUN_LENGTH - 1 distances.");
    end

    // Suffixes tell the stage whose register a signal comes from: read (FRONT - 1), front (FRONT), last (LATENCY - 1).
    localparam int READ_STAGE = FRONT > 0 ? FRONT - 1 : 0;
    localparam int INTERLOCK = HAS_STATE && STATE_CYCLES == 2 ? FRONT : 0;

    logic [LATENCY:1]      valid, load;
    logic [SLOT_BITS-1:0]  slot_read, slot_front, slot_last;
    logic [LAYER_BITS-1:0] layer_front, layer_last;
    logic                  active_front, fresh_front;

    pipeline_control #(.STAGES(LATENCY), .INTERLOCK(INTERLOCK)) control (
        .clk,
        .rst,
        .in_valid,
        .in_ready,
        .out_valid,
        .out_ready,
        .same_slot(INTERLOCK > 0 && slot_read == slot_front),
        .valid,
        .load
    );

    delay_line #(.WIDTH(SLOT_BITS), .STAGES(LATENCY), .FROM(0), .TO(READ_STAGE)) slot_to_read (
        .clk,
        .load,
        .in(in_slot),
        .out(slot_read)
    );
    delay_line #(.WIDTH(SLOT_BITS), .STAGES(LATENCY), .FROM(READ_STAGE), .TO(FRONT)) slot_to_front (
        .clk,
        .load,
        .in(slot_read),
        .out(slot_front)
    );
    delay_line #(.WIDTH(SLOT_BITS), .STAGES(LATENCY), .FROM(FRONT), .TO(LATENCY - 1)) slot_to_last (
        .clk,
        .load,
        .in(slot_front),
        .out(slot_last)
    );
    delay_line #(.WIDTH(LAYER_BITS), .STAGES(LATENCY), .FROM(0), .TO(FRONT)) layer_to_front (
        .clk,
        .load,
        .in(in_layer),
        .out(layer_front)
    );
    delay_line #(.WIDTH(LAYER_BITS), .STAGES(LATENCY), .FROM(FRONT), .TO(LATENCY - 1)) layer_to_last (
        .clk,
        .load,
        .in(layer_front),
        .out(layer_last)
    );
    assign active_front = EXIT_MASK[layer_front];
    assign fresh_front  = layer_front <= LAYER_BITS'(FIRST_EXIT_LAYER);

    // The winning class.
    localparam int WINNER_FRONT = WINNER_STAGE > FRONT ? WINNER_STAGE : FRONT;  // a fixed layer waits for the class

    logic [N_CLASSES-1:0][LOGIT_BITS-1:0] logits_others, logits_winner;  // in OTHERS_STAGE and WINNER_STAGE
    logic [LOGIT_BITS:0]                  difference;
    logic [LOGIT_BITS-1:0]                largest_other, largest;
    logic [CLASS_BITS-1:0]                winner, winner_front;

    for (genvar j = 0; j < N_CLASSES; j++) begin : of_class
        logic signed [LOGIT_BITS-1:0] logit;  // each by itself, for who looks at waves
        logic unused;
        assign logit  = in_logits[j];
        assign unused = &logit;
    end

    delay_line #(.WIDTH(N_CLASSES * LOGIT_BITS), .STAGES(LATENCY), .FROM(0), .TO(OTHERS_STAGE)) logits_to_others (
        .clk,
        .load,
        .in(in_logits),
        .out(logits_others)
    );
    delay_line #(
        .WIDTH(N_CLASSES * LOGIT_BITS),
        .STAGES(LATENCY),
        .FROM(OTHERS_STAGE),
        .TO(WINNER_STAGE)
    ) logits_to_winner (
        .clk,
        .load,
        .in(logits_others),
        .out(logits_winner)
    );
    winner_search #(
        .N_CLASSES(N_CLASSES),
        .LOGIT_BITS(LOGIT_BITS),
        .CLASS_BITS(CLASS_BITS),
        .OTHERS_FIRST(HAS_LOG_ODDS),
        .OTHERS_STAGE(OTHERS_STAGE),
        .STAGES(LATENCY)
    ) search (
        .clk,
        .load,
        .logits(in_logits),
        .first_logit(logits_others[0]),
        .difference,
        .largest_other,
        .largest,
        .winner
    );
    delay_line #(.WIDTH(CLASS_BITS), .STAGES(LATENCY), .FROM(WINNER_STAGE), .TO(WINNER_FRONT)) winner_to_front (
        .clk,
        .load,
        .in(winner),
        .out(winner_front)
    );
    delay_line #(.WIDTH(CLASS_BITS), .STAGES(LATENCY), .FROM(WINNER_FRONT), .TO(LATENCY)) winner_to_output (
        .clk,
        .load,
        .in(winner_front),
        .out(out_winner)
    );

    // The confidence test of this exit alone.
    logic [SUM_BITS-1:0] total, total_front;
    logic                confident, confident_front, confident_last;

    if (HAS_SUM) begin : softmax
        softmax_test #(
            .N_CLASSES(N_CLASSES),
            .LOGIT_BITS(LOGIT_BITS),
            .FRACTION_BITS(FRACTION_BITS),
            .SUM_BITS(SUM_BITS),
            .ENTROPY(TEST == TEST_ENTROPY),
            .ENTROPY_THRESHOLD(ENTROPY_THRESHOLD),
            .SUM_LIMIT(SUM_LIMIT),
            .EXPONENTIAL_SHIFT(EXPONENTIAL_SHIFT),
            .EXPONENTIAL_ENTRIES(EXPONENTIAL_ENTRIES),
            .EXPONENTIAL_BITS(EXPONENTIAL_BITS),
            .EXPONENTIAL_FILE(EXPONENTIAL_FILE),
            .WEIGHTED_SHIFT(WEIGHTED_SHIFT),
            .WEIGHTED_ENTRIES(WEIGHTED_ENTRIES),
            .WEIGHTED_BITS(WEIGHTED_BITS),
            .WEIGHTED_FILE(WEIGHTED_FILE),
            .LOGARITHM_SHIFT(LOGARITHM_SHIFT),
            .LOGARITHM_ENTRIES(LOGARITHM_ENTRIES),
            .LOGARITHM_BITS(LOGARITHM_BITS),
            .LOGARITHM_FILE(LOGARITHM_FILE),
            .STAGES(LATENCY),
            .FROM(WINNER_STAGE)
        ) test (
            .clk,
            .load,
            .logits(logits_winner),
            .largest,
            .total,
            .holds(confident)
        );
        delay_line #(.WIDTH(SUM_BITS), .STAGES(LATENCY), .FROM(SUM_STAGE), .TO(FRONT)) sum_to_front (
            .clk,
            .load,
            .in(total),
            .out(total_front)
        );
    end else begin : no_softmax
        assign total = '0;
        assign total_front = '0;
        if (TEST == TEST_DIFFERENCE) begin : far
            logic above, below;
            side_test #(.BITS(LOGIT_BITS + 1), .MINIMUM(MIN_DIFFERENCE)) test (
                .value(difference),
                .above,
                .below
            );
            assign confident = above || below;
        end else begin : no_logits
            assign confident = TEST == TEST_FIXED_LAYER && layer_front == LAYER_BITS'(FIXED_LAYER);
        end
    end
    localparam int CONFIDENT_STAGE = TEST == TEST_FIXED_LAYER ? FRONT : CONFIDENCE_STAGE;
    delay_line #(.WIDTH(1), .STAGES(LATENCY), .FROM(CONFIDENT_STAGE), .TO(FRONT)) confident_to_front (
        .clk,
        .load,
        .in(confident),
        .out(confident_front)
    );
    delay_line #(.WIDTH(1), .STAGES(LATENCY), .FROM(FRONT), .TO(LATENCY - 1)) confident_to_last (
        .clk,
        .load,
        .in(confident_front),
        .out(confident_last)
    );

    // The trend over the exits of the sentence.
    localparam int WINDOW_LENGTH = HAS_WINDOW ? RUN_LENGTH : 1;

    logic [VALUE_BITS-1:0]                    value_front;
    logic                                     above_front, below_front;
    logic [STATE_BITS-1:0]                    state_front, next_state;
    logic [COUNT_BITS-1:0]                    count_front;
    logic                                     run_is_full, trend_last;
    logic [WINDOW_LENGTH-1:0][VALUE_BITS-2:0] window_front;

    if (HAS_LOG_ODDS) begin : many_classes
        logic [VALUE_BITS-1:0] odds;
        logic                  above, below;
        log_odds #(
            .OTHERS(N_CLASSES - 1),
            .LOGIT_BITS(LOGIT_BITS),
            .FRACTION_BITS(FRACTION_BITS),
            .GUARD_BITS(GUARD_BITS),
            .VALUE_BITS(VALUE_BITS),
            .MIN_SIDE(MIN_SIDE),
            .ODDS_EXPONENTIAL_SHIFT(ODDS_EXPONENTIAL_SHIFT),
            .ODDS_EXPONENTIAL_ENTRIES(ODDS_EXPONENTIAL_ENTRIES),
            .ODDS_EXPONENTIAL_BITS(ODDS_EXPONENTIAL_BITS),
            .ODDS_EXPONENTIAL_FILE(ODDS_EXPONENTIAL_FILE),
            .ODDS_LOGARITHM_SHIFT(ODDS_LOGARITHM_SHIFT),
            .ODDS_LOGARITHM_ENTRIES(ODDS_LOGARITHM_ENTRIES),
            .ODDS_LOGARITHM_BITS(ODDS_LOGARITHM_BITS),
            .ODDS_LOGARITHM_FILE(ODDS_LOGARITHM_FILE),
            .STAGES(LATENCY),
            .FROM(OTHERS_STAGE)
        ) log_odds_of_first (
            .clk,
            .load,
            .logits(logits_others),
            .largest_other,
            .value(odds),
            .above,
            .below
        );
        delay_line #(.WIDTH(VALUE_BITS + 2), .STAGES(LATENCY), .FROM(SIDE_STAGE), .TO(FRONT)) odds_to_front (
            .clk,
            .load,
            .in({odds, above, below}),
            .out({value_front, above_front, below_front})
        );
    end else if (TREND == TREND_SIDE_RUN) begin : two_classes
        assign value_front = difference;
        side_test #(.BITS(VALUE_BITS), .MINIMUM(MIN_SIDE)) side (
            .value(value_front),
            .above(above_front),
            .below(below_front)
        );
    end else begin : no_side
        assign value_front = '0;
        assign {above_front, below_front} = '0;
    end

    trend #(
        .TREND(TREND),
        .BIAS(BIAS),
        .RUN_LENGTH(RUN_LENGTH),
        .CLASS_BITS(CLASS_BITS),
        .LOGIT_BITS(LOGIT_BITS),
        .VALUE_BITS(VALUE_BITS),
        .COUNT_BITS(COUNT_BITS),
        .STATE_BITS(STATE_BITS),
        .WINDOW_LENGTH(WINDOW_LENGTH),
        .MIN_STEP(MIN_STEP)
    ) exits_so_far (
        .fresh(fresh_front),
        .winner(winner_front),
        .logit(logits_winner[0]),
        .value(value_front),
        .above(above_front),
        .below(below_front),
        .old_state(state_front),
        .state(next_state),
        .count(count_front),
        .full(run_is_full),
        .window(window_front)
    );

    if (HAS_STATE) begin : kept
        state_memory #(
            .STATE_BITS(STATE_BITS),
            .N_SLOTS(N_SLOTS),
            .SLOT_BITS(SLOT_BITS),
            .STATE_CYCLES(STATE_CYCLES)
        ) of_slots (
            .clk,
            .read(load[FRONT]),
            .read_slot(slot_read),
            .write(valid[FRONT] && load[FRONT+1] && active_front),
            .update_slot(slot_front),
            .next_state,
            .state(state_front)
        );
    end else begin : stateless
        assign state_front = '0;
    end

    if (HAS_WINDOW) begin : window
        logic [WINDOW_LENGTH*(VALUE_BITS-1)-1:0] window_state;
        logic                                    run_is_full_last, within_limit;

        delay_line #(.WIDTH(1), .STAGES(LATENCY), .FROM(FRONT), .TO(LATENCY - 1)) full_to_last (
            .clk,
            .load,
            .in(run_is_full),
            .out(run_is_full_last)
        );
        delay_line #(
            .WIDTH(WINDOW_LENGTH * (VALUE_BITS - 1)),
            .STAGES(LATENCY),
            .FROM(FRONT),
            .TO(FRONT + 1)
        ) window_with_state (
            .clk,
            .load,
            .in(window_front),
            .out(window_state)
        );
        window_test #(
            .N(WINDOW_LENGTH),
            .BITS(VALUE_BITS - 1),
            .LIMITS_SHIFT(LIMITS_SHIFT),
            .LIMITS_ENTRIES(LIMITS_ENTRIES),
            .LIMITS_BITS(LIMITS_BITS),
            .LIMITS_FILE(LIMITS_FILE),
            .STAGES(LATENCY),
            .FROM(FRONT + 1)
        ) spread (
            .clk,
            .load,
            .window(window_state),
            .holds(within_limit)
        );
        assign trend_last = run_is_full_last && within_limit;
    end else begin : no_window
        assign trend_last = run_is_full;
    end

    // The integer that is compared, where it is asked for.
    logic [RESULT_BITS-1:0] confidence_front;
    if (CONFIDENCE_BITS == 0) begin : no_confidence
        assign confidence_front = '0;
    end else if (TEST == TEST_DIFFERENCE) begin : distance
        assign confidence_front = difference[LOGIT_BITS] ? -difference[LOGIT_BITS-1:0] : difference[LOGIT_BITS-1:0];
    end else if (HAS_SUM) begin : sum
        assign confidence_front = total_front;
    end else begin : run_length
        assign confidence_front = active_front ? count_front : '0;
    end

    delay_line #(.WIDTH(RESULT_BITS), .STAGES(LATENCY), .FROM(FRONT), .TO(LATENCY)) confidence_to_output (
        .clk,
        .load,
        .in(confidence_front),
        .out(out_confidence)
    );

    // The decision.
    always_ff @(posedge clk)
        if (load[LATENCY]) begin
            out_slot  <= slot_last;
            out_layer <= layer_last;
            out_exit  <= (EXIT_MASK[layer_last] && (confident_last || trend_last))
                         || layer_last == LAYER_BITS'(N_LAYERS);
        end

    // What a unit of this kind does not read.
    logic unused;
    assign unused = &{
        valid, logits_others, logits_winner, difference, largest_other, largest, winner_front, total, total_front,
        value_front, above_front, below_front, state_front, next_state, count_front, window_front, active_front,
        fresh_front, slot_read, slot_front
    };
endmodule
