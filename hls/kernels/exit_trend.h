// Tests of several exits in a row, with what a sentence keeps between its exits.
//
//   WINNER_RUN       the class has been the same in RUN_LENGTH exits in a row
//   SMALL_STEP_RUN   |q_0 - q_0 before| < MIN_STEP, RUN_LENGTH times in a row
//   SIDE_RUN         v >= MIN_SIDE, or v <= -MIN_SIDE, in RUN_LENGTH exits in a row, and
//                      BIAS 2: v never steps back towards the middle
//                      BIAS 3: max |v| <= limits[min |v| >> SHIFT] over the last RUN_LENGTH exits
//
// v is q_0 - q_1 of two classes; of more, the log-odds of class 0: (q_0 - m') 2^GUARD_BITS - ln A' over the others.
// Counters saturate at RUN_LENGTH. A state is one word, its fields from bit 0 on in the order of the specification; the
// first exit of a sentence finds it empty, so it needs no reset. Reading, update and writing belong to one event.

#ifndef HEXIT_KERNELS_EXIT_TREND_H_
#define HEXIT_KERNELS_EXIT_TREND_H_

#include "exit_common.h"

namespace hexit_kernels {

// One more while a run goes on, at most RUN_LENGTH; `first` where it starts anew.
template <class CONFIG_T>
ap_uint<CONFIG_T::COUNT_BITS> run_length(ap_uint<CONFIG_T::COUNT_BITS> before, bool goes_on, int first) {
    #pragma HLS INLINE
    static_assert(CONFIG_T::RUN_LENGTH < 1LL << CONFIG_T::COUNT_BITS, "COUNT_BITS must hold RUN_LENGTH");
    if (!goes_on) {
        return first;
    }
    if (before == CONFIG_T::RUN_LENGTH) {
        return before;
    }
    return before + 1;
}

template <class CONFIG_T> struct winner_run {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_uint<CONFIG_T::CLASS_BITS> class_t;
    typedef ap_uint<CONFIG_T::COUNT_BITS> count_t;
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    static_assert(CONFIG_T::STATE_BITS == CONFIG_T::COUNT_BITS + CONFIG_T::CLASS_BITS,
                  "the state is the count and the winner");

    static bool step(state_t &state, bool fresh, const logit_t *, class_t winner) {
        #pragma HLS INLINE
        const count_t before = state.range(CONFIG_T::COUNT_BITS - 1, 0);
        const class_t kept = state.range(CONFIG_T::STATE_BITS - 1, CONFIG_T::COUNT_BITS);
        const count_t count = run_length<CONFIG_T>(before, !fresh && winner == kept, 1);
        state.range(CONFIG_T::COUNT_BITS - 1, 0) = count;
        state.range(CONFIG_T::STATE_BITS - 1, CONFIG_T::COUNT_BITS) = winner;
        return count == CONFIG_T::RUN_LENGTH;
    }
};

template <class CONFIG_T> struct small_step_run {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_uint<CONFIG_T::CLASS_BITS> class_t;
    typedef ap_uint<CONFIG_T::COUNT_BITS> count_t;
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    static_assert(CONFIG_T::STATE_BITS == CONFIG_T::COUNT_BITS + CONFIG_T::LOGIT_BITS,
                  "the state is the count and the value");

    static bool step(state_t &state, bool fresh, const logit_t *logits, class_t) {
        #pragma HLS INLINE
        const count_t before = state.range(CONFIG_T::COUNT_BITS - 1, 0);
        const logit_t value = logits[0];
        logit_t kept;
        kept.range() = state.range(CONFIG_T::STATE_BITS - 1, CONFIG_T::COUNT_BITS);
        const ap_int<CONFIG_T::LOGIT_BITS + 1> moved = value - kept;
        const bool small = magnitude<CONFIG_T::LOGIT_BITS + 1>(moved) < CONFIG_T::MIN_STEP;
        const count_t count = run_length<CONFIG_T>(before, !fresh && small, 0);
        state.range(CONFIG_T::COUNT_BITS - 1, 0) = count;
        state.range(CONFIG_T::STATE_BITS - 1, CONFIG_T::COUNT_BITS) = value.range();
        return count == CONFIG_T::RUN_LENGTH;
    }
};

// v of more than two classes, from tables; of two classes a difference.
template <class CONFIG_T, bool HAS_LOG_ODDS> struct side_value {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_int<CONFIG_T::VALUE_BITS> value_t;
    typedef ap_uint<CONFIG_T::SUM_BITS> sum_t;
    static const int OTHERS = CONFIG_T::N_CLASSES - 1;
    // the largest difference, and the largest number of a logarithm's bits, which is taken from it
    static const unsigned long long LARGEST =
        (((1ULL << CONFIG_T::LOGIT_BITS) - 1) << CONFIG_T::GUARD_BITS) + (1ULL << CONFIG_T::ODDS_LOGARITHM_BITS) - 1;
    static_assert(CONFIG_T::VALUE_BITS == bit_length<LARGEST>::value + 1,
                  "VALUE_BITS must hold log-odds of either sign");

    static value_t of(const logit_t *logits) {
        #pragma HLS INLINE
        const logit_t most = tree<larger, logit_t, OTHERS>::reduce(logits + 1);
        const sum_t total =
            table_sum<typename CONFIG_T::odds_exponential, OTHERS, CONFIG_T::SUM_BITS>(most, logits + 1);
        const sum_t above = total - (1LL << CONFIG_T::FRACTION_BITS);
        const value_t ahead = value_t(logits[0] - most) << CONFIG_T::GUARD_BITS;
        return ahead - look_up<typename CONFIG_T::odds_logarithm, CONFIG_T::SUM_BITS>(above);
    }
};

template <class CONFIG_T> struct side_value<CONFIG_T, false> {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_int<CONFIG_T::VALUE_BITS> value_t;
    static_assert(CONFIG_T::N_CLASSES == 2, "without log-odds v is the difference of two logits");
    static_assert(CONFIG_T::VALUE_BITS == CONFIG_T::LOGIT_BITS + 1, "a difference has one bit more than a logit");

    static value_t of(const logit_t *logits) {
        #pragma HLS INLINE
        return logits[0] - logits[1];
    }
};

// What BIAS asks for beyond the run of equal sides; it keeps the bits of the state from KEPT_FROM on.
template <class CONFIG_T, int BIAS> struct bias;

template <class CONFIG_T> struct bias<CONFIG_T, 1> {
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    static const int KEPT_FROM = CONFIG_T::COUNT_BITS + 2;
    static_assert(CONFIG_T::STATE_BITS == KEPT_FROM, "the state is the count and the side");

    static bool keeps(state_t, ap_int<CONFIG_T::VALUE_BITS>, ap_int<2>) { return true; }
    static bool narrow(state_t, ap_int<CONFIG_T::VALUE_BITS>) { return true; }
    static void keep(state_t &, ap_int<CONFIG_T::VALUE_BITS>) {}
};

template <class CONFIG_T> struct bias<CONFIG_T, 2> {
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    typedef ap_int<CONFIG_T::VALUE_BITS> value_t;
    static const int KEPT_FROM = CONFIG_T::COUNT_BITS + 2;
    static_assert(CONFIG_T::STATE_BITS == KEPT_FROM + CONFIG_T::VALUE_BITS, "the state is the count, the side and v");

    static bool keeps(state_t state, value_t value, ap_int<2> side) {
        #pragma HLS INLINE
        value_t before;
        before.range() = state.range(CONFIG_T::STATE_BITS - 1, KEPT_FROM);
        return side == 0 || (side > 0 ? value >= before : value <= before);
    }
    static bool narrow(state_t, value_t) { return true; }
    static void keep(state_t &state, value_t value) {
        #pragma HLS INLINE
        state.range(CONFIG_T::STATE_BITS - 1, KEPT_FROM) = value.range();
    }
};

template <class CONFIG_T> struct bias<CONFIG_T, 3> {
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    typedef ap_int<CONFIG_T::VALUE_BITS> value_t;
    static const int DISTANCE_BITS = CONFIG_T::VALUE_BITS - 1;
    typedef ap_uint<DISTANCE_BITS> distance_t;
    static const int KEPT_FROM = CONFIG_T::COUNT_BITS + 2;
    static const int WINDOW = CONFIG_T::RUN_LENGTH;
    static_assert(CONFIG_T::STATE_BITS == KEPT_FROM + (WINDOW - 1) * DISTANCE_BITS,
                  "the state is the count, the side and the distances before this one");

    // Distance i of the window before this exit, the youngest first.
    static distance_t kept(state_t state, int i) {
        #pragma HLS INLINE
        return state.range(KEPT_FROM + (i + 1) * DISTANCE_BITS - 1, KEPT_FROM + i * DISTANCE_BITS);
    }
    static bool keeps(state_t, value_t, ap_int<2>) { return true; }
    // Distances of an earlier sentence may still be there; then the run is too short, and this does not matter.
    static bool narrow(state_t state, value_t value) {
        #pragma HLS INLINE
        typedef typename CONFIG_T::limits limits;
        distance_t window[WINDOW];
        // smallest and largest are found over the whole window at once
        #pragma HLS ARRAY_PARTITION variable=window complete
        window[0] = magnitude<CONFIG_T::VALUE_BITS>(value);
    Window:
        for (int i = 1; i < WINDOW; i++) {
            #pragma HLS UNROLL
            window[i] = kept(state, i - 1);
        }
        const distance_t largest = tree<larger, distance_t, WINDOW>::reduce(window);
        const distance_t address = tree<smaller, distance_t, WINDOW>::reduce(window) >> limits::SHIFT;
        // far from the middle nothing is too far
        return address >= limits::ENTRIES || largest <= limits::entry(address.to_uint());
    }
    static void keep(state_t &state, value_t value) {
        #pragma HLS INLINE
    Shift:
        for (int i = WINDOW - 2; i > 0; i--) {
            #pragma HLS UNROLL
            state.range(KEPT_FROM + (i + 1) * DISTANCE_BITS - 1, KEPT_FROM + i * DISTANCE_BITS) = kept(state, i - 1);
        }
        if (WINDOW > 1) {
            state.range(KEPT_FROM + DISTANCE_BITS - 1, KEPT_FROM) = magnitude<CONFIG_T::VALUE_BITS>(value);
        }
    }
};

template <class CONFIG_T> struct side_run {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_uint<CONFIG_T::CLASS_BITS> class_t;
    typedef ap_uint<CONFIG_T::COUNT_BITS> count_t;
    typedef ap_int<CONFIG_T::VALUE_BITS> value_t;
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;
    typedef side_value<CONFIG_T, (CONFIG_T::ODDS_LOGARITHM_ENTRIES > 0)> side_value_t;
    typedef bias<CONFIG_T, CONFIG_T::BIAS> bias_t;

    static bool step(state_t &state, bool fresh, const logit_t *logits, class_t) {
        #pragma HLS INLINE
        const value_t value = side_value_t::of(logits);
        ap_int<2> side = 0;
        if (value >= CONFIG_T::MIN_SIDE) {
            side = 1;
        } else if (value <= -CONFIG_T::MIN_SIDE) {
            side = -1;
        }
        const count_t before = state.range(CONFIG_T::COUNT_BITS - 1, 0);
        ap_int<2> kept;
        kept.range() = state.range(CONFIG_T::COUNT_BITS + 1, CONFIG_T::COUNT_BITS);
        const bool goes_on = !fresh && side == kept && bias_t::keeps(state, value, side);
        const count_t count = run_length<CONFIG_T>(before, goes_on, 1);
        const bool holds = side != 0 && count == CONFIG_T::RUN_LENGTH && bias_t::narrow(state, value);
        state.range(CONFIG_T::COUNT_BITS - 1, 0) = count;
        state.range(CONFIG_T::COUNT_BITS + 1, CONFIG_T::COUNT_BITS) = side.range();
        bias_t::keep(state, value);
        return holds;
    }
};

template <class CONFIG_T, int TREND> struct trend_family;
template <class CONFIG_T> struct trend_family<CONFIG_T, TREND_WINNER_RUN> {
    typedef winner_run<CONFIG_T> type;
};
template <class CONFIG_T> struct trend_family<CONFIG_T, TREND_SMALL_STEP_RUN> {
    typedef small_step_run<CONFIG_T> type;
};
template <class CONFIG_T> struct trend_family<CONFIG_T, TREND_SIDE_RUN> {
    typedef side_run<CONFIG_T> type;
};

// Whether a trend holds, and how long the run is (of winners and small steps, where it is the confidence).
template <class CONFIG_T> struct trend_verdict {
    bool holds;
    ap_uint<CONFIG_T::COUNT_BITS> count;
};

// The states of all sentences in flight, by slot. Layers without an exit neither read nor change them.
template <class CONFIG_T, int TREND> struct trend_test {
    typedef ap_int<CONFIG_T::LOGIT_BITS> logit_t;
    typedef ap_uint<CONFIG_T::CLASS_BITS> class_t;
    typedef ap_uint<CONFIG_T::COUNT_BITS> count_t;
    typedef ap_uint<CONFIG_T::STATE_BITS> state_t;

    static trend_verdict<CONFIG_T> of(ap_uint<CONFIG_T::SLOT_BITS> slot, bool active, bool fresh,
                                      const logit_t *logits, class_t winner) {
        #pragma HLS INLINE
        static_assert(CONFIG_T::N_SLOTS <= 1 << CONFIG_T::SLOT_BITS, "SLOT_BITS must hold every slot");
        static state_t states[CONFIG_T::N_SLOTS];
        // registers: an event may follow another one of its slot in the next cycle, a block RAM would answer too late
        #pragma HLS ARRAY_PARTITION variable=states complete
        // a slot that the unit does not have must not reach beyond the array; of 2^SLOT_BITS slots this costs nothing
        const int index = slot < CONFIG_T::N_SLOTS ? slot.to_int() : 0;
        state_t state = states[index];
        trend_verdict<CONFIG_T> found;
        found.holds = trend_family<CONFIG_T, TREND>::type::step(state, fresh, logits, winner);
        found.count = TREND == TREND_SIDE_RUN ? count_t(0) : count_t(state.range(CONFIG_T::COUNT_BITS - 1, 0));
        if (active) {
            states[index] = state;
        }
        return found;
    }
};

template <class CONFIG_T> struct trend_test<CONFIG_T, TREND_NONE> {
    static trend_verdict<CONFIG_T> of(ap_uint<CONFIG_T::SLOT_BITS>, bool, bool, const ap_int<CONFIG_T::LOGIT_BITS> *,
                                      ap_uint<CONFIG_T::CLASS_BITS>) {
        #pragma HLS INLINE
        const trend_verdict<CONFIG_T> found = {false, 0};
        return found;
    }
};

} // namespace hexit_kernels

#endif
