// Which stages of a pipeline take a new event in this cycle.
//
//   load[i] = stage i is empty, or hands its event on:   load[i] = !valid[i] || load[i+1],   load[STAGES+1] = out_ready
//
// Stage i keeps its registers unless load[i]. Bubbles are squeezed and one event per cycle passes. With INTERLOCK an
// event stays out of stage INTERLOCK while that stage holds an event of the same slot: the state that it would read
// there is written only when that event leaves. Only the valid bits are reset.
module pipeline_control #(
    parameter int STAGES = 1,
    parameter int INTERLOCK = 0  // 0: none
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            in_valid,
    output logic            in_ready,
    output logic            out_valid,
    input  logic            out_ready,
    input  logic            same_slot,  // the events before and in stage INTERLOCK have one slot; 0 without it
    output logic [STAGES:1] valid,
    output logic [STAGES:1] load
);
    if (STAGES < 1 || INTERLOCK >= STAGES) begin : stages_suffice
        $error("A pipeline needs a stage, and one after the interlocked stage.");
    end

    logic [STAGES:1] arrives;  // an event is offered to the stage
    logic [STAGES:1] leaves;   // what comes after the stage would take its event
    assign arrives = STAGES'({valid, in_valid});
    assign leaves  = STAGES'({out_ready, load} >> 1);

    for (genvar i = 1; i <= STAGES; i++) begin : stage
        assign load[i] = !valid[i] || (leaves[i] && !(i == INTERLOCK && same_slot));

        always_ff @(posedge clk)
            if (rst) valid[i] <= 1'b0;
            else if (load[i]) valid[i] <= arrives[i];
            else if (leaves[i]) valid[i] <= 1'b0;
    end

    if (INTERLOCK == 0) begin : no_interlock
        logic unused;
        assign unused = same_slot;
    end

    assign in_ready  = load[1];
    assign out_valid = valid[STAGES];
endmodule
