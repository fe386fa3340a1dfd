// On which side of 0, at least MINIMUM away from it, a signed value lies; combinational.
//
//   above = value >= MINIMUM          below = value <= -MINIMUM, and not above
//
// For a negative value  value <= -MINIMUM  is  ~value >= MINIMUM - 1,  so nothing is negated.
module side_test #(
    parameter int BITS = 17,
    parameter longint MINIMUM = 1
) (
    input  logic [BITS-1:0] value,
    output logic            above,
    output logic            below
);
    logic positive_holds, negative_holds;

    at_least #(.BITS(BITS - 1), .MINIMUM(MINIMUM)) positive (.value(value[BITS-2:0]), .holds(positive_holds));
    at_least #(.BITS(BITS - 1), .MINIMUM(MINIMUM - 1)) negative (.value(~value[BITS-2:0]), .holds(negative_holds));

    assign above = !value[BITS-1] && positive_holds;
    assign below = value[BITS-1] && negative_holds;
endmodule
