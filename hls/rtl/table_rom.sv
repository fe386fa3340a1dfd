// A table of ENTRIES unsigned numbers that two readers share; one stage. `clear` reads 0 in place of an entry.
//
// Read synchronously and never written, so it fits block RAM with its two ports; the file is read by $readmemh.
module table_rom #(
    parameter int ENTRIES = 2,
    parameter int ADDRESS_BITS = 1,
    parameter int BITS = 1,
    parameter FILE = ""
) (
    input  logic                    clk,
    input  logic                    load,
    input  logic [ADDRESS_BITS-1:0] address_a,
    input  logic [ADDRESS_BITS-1:0] address_b,
    input  logic                    clear_a,
    input  logic                    clear_b,
    output logic [BITS-1:0]         entry_a,
    output logic [BITS-1:0]         entry_b
);
    logic [BITS-1:0] entries[0:ENTRIES-1];
    initial $readmemh(FILE, entries);

    always_ff @(posedge clk)
        if (load) begin
            if (clear_a) entry_a <= '0;
            else entry_a <= entries[address_a];
        end
    always_ff @(posedge clk)
        if (load) begin
            if (clear_b) entry_b <= '0;
            else entry_b <= entries[address_b];
        end
endmodule
