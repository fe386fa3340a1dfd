// Drives the Verilator model of exit_unit_top cycle by cycle: events in, decisions out, with both handshakes.
//
// A cycle: the inputs are set, the logic settles, the handshakes of this cycle are looked at, the clock rises. Cycles
// count from 0 after reset.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "Vexit_unit_top.h"
#include "exit_unit_constants.h"
#include "verilated.h"
#if VM_TRACE_VCD
#include "verilated_vcd_c.h"
#endif

struct Event {
    int slot;
    int layer;
    std::vector<int> logits;
};

struct Decision {
    int slot;
    int exit;
    int winner;
    int layer;
    std::int64_t confidence;

    bool operator==(const Decision &other) const {
        return slot == other.slot && exit == other.exit && winner == other.winner && layer == other.layer &&
               confidence == other.confidence;
    }
};

struct Handshakes {
    bool accepted;  // in_valid and in_ready
    bool visible;   // out_valid
    bool taken;     // out_valid and out_ready
    Decision decision;  // of the output, where visible
};

// Class j's logit lies in bits [j LOGIT_BITS, (j + 1) LOGIT_BITS) of in_logits, whatever type Verilator gives the port.
template <typename Port>
void set_logits(Port &port, const std::vector<int> &logits) {
    if constexpr (std::is_integral_v<Port>) {
        std::uint64_t packed = 0;
        for (int j = 0; j < N_CLASSES; ++j) {
            const std::uint64_t field = static_cast<std::uint64_t>(logits[j]) & ((std::uint64_t{1} << LOGIT_BITS) - 1);
            packed |= field << (j * LOGIT_BITS);
        }
        port = static_cast<Port>(packed);
    } else {
        for (int word = 0; word < (N_CLASSES * LOGIT_BITS + 31) / 32; ++word) port[word] = 0;
        for (int j = 0; j < N_CLASSES; ++j) {
            const std::uint64_t field = static_cast<std::uint64_t>(logits[j]) & ((std::uint64_t{1} << LOGIT_BITS) - 1);
            const int bit = j * LOGIT_BITS;
            const std::uint64_t shifted = field << (bit % 32);
            port[bit / 32] |= static_cast<std::uint32_t>(shifted);
            if (shifted >> 32) port[bit / 32 + 1] |= static_cast<std::uint32_t>(shifted >> 32);
        }
    }
}

class Driver {
  public:
    // An empty `vcd_path` records no waves.
    explicit Driver(const std::string &vcd_path = "")
        : context_(random_start()), unit_(std::make_unique<Vexit_unit_top>(context_.get(), "")) {
        unit_->clk = 0;
        unit_->in_valid = 0;
        unit_->in_slot = 0;
        unit_->in_layer = 0;
        unit_->out_ready = 0;
        set_logits(unit_->in_logits, std::vector<int>(N_CLASSES, 0));
#if VM_TRACE_VCD
        if (!vcd_path.empty()) {
            context_->traceEverOn(true);
            waves_ = std::make_unique<VerilatedVcdC>();
            unit_->trace(waves_.get(), 99);
            waves_->open(vcd_path.c_str());
        }
#else
        (void)vcd_path;
#endif
        reset();
    }

    Driver(const Driver &) = delete;
    Driver &operator=(const Driver &) = delete;

    ~Driver() {
        unit_->final();
#if VM_TRACE_VCD
        if (waves_) waves_->close();
#endif
    }

    // Drops every event in the unit.
    void reset() {
        unit_->rst = 1;
        unit_->in_valid = 0;
        clock_edge();
        unit_->rst = 0;
    }

    // `offered` is null where no event is offered in this cycle.
    Handshakes cycle(const Event *offered, bool ready) {
        unit_->in_valid = offered != nullptr;
        if (offered) {
            unit_->in_slot = offered->slot;
            unit_->in_layer = offered->layer;
            set_logits(unit_->in_logits, offered->logits);
        }
        unit_->out_ready = ready;
        unit_->eval();
        Handshakes seen{};
        seen.accepted = offered && unit_->in_ready;
        seen.visible = unit_->out_valid;
        seen.taken = unit_->out_valid && ready;
        if (seen.visible) {
            seen.decision.slot = unit_->out_slot;
            seen.decision.exit = unit_->out_exit;
            seen.decision.winner = unit_->out_winner;
            seen.decision.layer = unit_->out_layer;
            seen.decision.confidence = unit_->out_confidence;
        }
        clock_edge();
        return seen;
    }

  private:
    // Registers and memories start at random: only the valid bits are reset, and no decision may depend on the others.
    static std::unique_ptr<VerilatedContext> random_start() {
        auto context = std::make_unique<VerilatedContext>();
        context->randReset(2);
        context->randSeed(1);
        return context;
    }

    void clock_edge() {
        unit_->clk = 0;
        settle();
        unit_->clk = 1;
        settle();
    }

    void settle() {
        unit_->eval();
#if VM_TRACE_VCD
        if (waves_) waves_->dump(context_->time());
#endif
        context_->timeInc(1);
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vexit_unit_top> unit_;
#if VM_TRACE_VCD
    std::unique_ptr<VerilatedVcdC> waves_;
#endif
};
