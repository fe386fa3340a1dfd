# The vendor's flow with the golden test bench: C simulation, C synthesis, co-simulation of the RTL, IP export.
#
#   vitis-run --mode hls --tcl build_hexit.tcl     Vitis 2024.1 and later
#   vitis_hls -f build_hexit.tcl                   Vitis HLS 2020.2 and later
#   vivado_hls -f build_hexit.tcl                  Vivado HLS
#
# HEXIT_STEPS in the environment chooses among csim csynth cosim export implement, for instance "csim csynth";
# implement is an export with logic synthesis by Vivado. The reports lie where hls4ml looks for them.

cd [file dirname [file normalize [info script]]]
source project.tcl ;# hls4ml's: project_name, part, clock_period, clock_uncertainty, version, maximum_size

set steps {csim csynth cosim export}
if {[info exists ::env(HEXIT_STEPS)]} {
    set steps [split [string trim [regsub -all {\s+} $::env(HEXIT_STEPS) { }]]]
}
set known {csim csynth cosim export implement}
foreach step $steps {
    if {[lsearch -exact $known $step] < 0} {
        puts "hexit: HEXIT_STEPS has \"$step\"; the steps are $known"
        exit 2
    }
}

# A setting that one of the tools does not have.
proc optional {args} {
    if {[catch {uplevel #0 $args} message]} {
        puts "hexit: left out: $args ($message)"
    }
}

proc run_step {step args} {
    global steps
    if {[lsearch -exact $steps $step] < 0} {
        return
    }
    puts "hexit: $step"
    if {[catch {uplevel #0 $args} message]} {
        puts "hexit: $step failed: $message"
        exit 1
    }
}

# Every vector costs a co-simulation some cycles and some disk; the first ones are of real sentences.
set cosim_events 1000

open_project -reset ${project_name}_prj
set_top $project_name
add_files firmware/${project_name}.cpp -cflags "-std=c++0x"
add_files -tb tb/test_bench.cpp -cflags "-std=c++0x"
add_files -tb golden
add_files -tb firmware/weights
open_solution -reset solution1
set_part $part
create_clock -period $clock_period -name default
set_clock_uncertainty $clock_uncertainty default
optional config_array_partition -maximum_size $maximum_size ;# Vivado HLS alone
optional config_compile -name_max_length 80
optional config_schedule -enable_dsp_full_reg=false

run_step csim csim_design
run_step csynth csynth_design
run_step cosim cosim_design -rtl verilog -argv $cosim_events
run_step export export_design -format ip_catalog -version $version
run_step implement export_design -flow syn -rtl verilog -format ip_catalog -version $version
exit 0
