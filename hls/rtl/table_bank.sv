// N reads of one table: entry[j] = table[index[j] >> SHIFT], and 0 beyond its last entry; one stage.
//
// Two reads share a memory. Half an address step, for the nearest entry, has been added to the index before.
module table_bank #(
    parameter int N = 2,
    parameter int INDEX_BITS = 17,
    parameter int SHIFT = 0,
    parameter int ENTRIES = 2,
    parameter int BITS = 1,
    parameter FILE = ""
) (
    input  logic                         clk,
    input  logic                         load,
    // SHIFT bits of the index lie below the address.
    // verilator lint_off UNUSEDSIGNAL
    input  logic [N-1:0][INDEX_BITS-1:0] index,
    // verilator lint_on UNUSEDSIGNAL
    output logic [N-1:0][BITS-1:0]       entry
);
    localparam int MEMORIES = (N + 1) / 2;
    localparam int ADDRESS_BITS = ENTRIES > 1 ? $clog2(ENTRIES) : 1;
    localparam int SHIFTED_BITS = INDEX_BITS - SHIFT;
    localparam int KEPT_BITS = SHIFTED_BITS < ADDRESS_BITS ? SHIFTED_BITS : ADDRESS_BITS;

    if (SHIFTED_BITS < 1) begin : index_exceeds_shift
        $error("A table's index must have more bits than its shift.");
    end

    logic [2*MEMORIES-1:0][ADDRESS_BITS-1:0] address;
    logic [2*MEMORIES-1:0]                   beyond;
    logic [2*MEMORIES-1:0][BITS-1:0]         found;

    for (genvar j = 0; j < 2 * MEMORIES; j++) begin : reader
        if (j < N) begin : used
            logic [SHIFTED_BITS-1:0] shifted;
            assign shifted = index[j][INDEX_BITS-1:SHIFT];
            assign address[j] = ADDRESS_BITS'(shifted[KEPT_BITS-1:0]);
            assign entry[j] = found[j];
            at_least #(.BITS(SHIFTED_BITS), .MINIMUM(longint'(ENTRIES))) end_of_table (
                .value(shifted),
                .holds(beyond[j])
            );
        end else begin : idle
            logic unused;
            assign address[j] = '0;
            assign beyond[j]  = 1'b1;
            assign unused     = &found[j];
        end
    end

    for (genvar m = 0; m < MEMORIES; m++) begin : memory
        table_rom #(.ENTRIES(ENTRIES), .ADDRESS_BITS(ADDRESS_BITS), .BITS(BITS), .FILE(FILE)) rom (
            .clk,
            .load,
            .address_a(address[2*m]),
            .address_b(address[2*m+1]),
            .clear_a(beyond[2*m]),
            .clear_b(beyond[2*m+1]),
            .entry_a(found[2*m]),
            .entry_b(found[2*m+1])
        );
    end
endmodule
