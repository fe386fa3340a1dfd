// value >= MINIMUM, both unsigned, for a constant of any size; combinational.
//
// Against a constant each bit is one AND or one OR with the result for the bits below it, so five bits share a look-up
// table of six inputs; a subtraction would take a table per bit and a carry chain.
module at_least #(
    parameter int BITS = 16,
    parameter longint MINIMUM = 0
) (
    input  logic [BITS-1:0] value,
    output logic            holds
);
    if (MINIMUM <= 0 || MINIMUM >= (64'sd1 << BITS)) begin : constant
        logic unused;
        assign unused = &value;
        assign holds  = MINIMUM <= 0;
    end else begin : compare
        logic [BITS:0] holds_up_to;
        assign holds_up_to[0] = 1'b1;
        for (genvar i = 0; i < BITS; i++) begin : bit_
            assign holds_up_to[i+1] = MINIMUM[i] ? value[i] & holds_up_to[i] : value[i] | holds_up_to[i];
        end
        assign holds = holds_up_to[BITS];
    end
endmodule
