// The state of the sentences in flight, one word per slot.
//
// STATE_CYCLES = 1: registers, read combinationally with `update_slot` and written at the end of the same cycle.
// STATE_CYCLES = 2: a synchronous memory (block RAM) that is read with `read_slot` on the way into the stage before
// the update; pipeline_control keeps an event out of that stage until the state of its slot has been written.
module state_memory #(
    parameter int STATE_BITS = 1,
    parameter int N_SLOTS = 1,
    parameter int SLOT_BITS = 1,
    parameter int STATE_CYCLES = 1
) (
    input  logic                  clk,
    input  logic                  read,
    input  logic [SLOT_BITS-1:0]  read_slot,
    input  logic                  write,
    input  logic [SLOT_BITS-1:0]  update_slot,
    input  logic [STATE_BITS-1:0] next_state,
    output logic [STATE_BITS-1:0] state
);
    if (N_SLOTS == 1) begin : one_slot
        logic unused;
        assign unused = &{read, read_slot, update_slot};
        always_ff @(posedge clk) if (write) state <= next_state;
    end else if (STATE_CYCLES == 1) begin : registers
        (* ram_style = "registers" *)
        logic [STATE_BITS-1:0] of_slot[0:N_SLOTS-1];
        logic unused;
        assign unused = &{read, read_slot};
        assign state  = of_slot[update_slot];
        always_ff @(posedge clk) if (write) of_slot[update_slot] <= next_state;
    end else begin : memory
        (* ram_style = "block" *)
        logic [STATE_BITS-1:0] of_slot[0:N_SLOTS-1];
        always_ff @(posedge clk) if (read) state <= of_slot[read_slot];
        always_ff @(posedge clk) if (write) of_slot[update_slot] <= next_state;
    end

    if (STATE_CYCLES < 1 || STATE_CYCLES > 2) begin : known_state_cycles
        $error("The state is updated within one cycle or two.");
    end
endmodule
