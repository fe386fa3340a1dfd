// The exit unit: one decision per event.
//
//   event [slot, layer], logits [q_0 .. q_(N_CLASSES - 1)]  -->  [slot, exit, class, layer, confidence]
//
//   exit       EXIT_MASK(layer) and (confidence test or trend), and always at layer N_LAYERS
//   class      the largest logit, the first of equals
//   confidence what is compared: |q_0 - q_1|, the sum A, or the run length (0 at a layer without an exit); else 0
//
// Sentences of different slots may take turns in any order; a slot's layers come in order. A new event every cycle: the
// only path from one event to the next is the update of a sentence's state, which is a comparison and a counter.

#ifndef HEXIT_KERNELS_EXIT_UNIT_H_
#define HEXIT_KERNELS_EXIT_UNIT_H_

#include "exit_confidence.h"
#include "exit_trend.h"

namespace hexit_kernels {

enum event_field { EVENT_SLOT, EVENT_LAYER, EVENT_FIELDS };
enum decision_field {
    DECISION_SLOT,
    DECISION_EXIT,
    DECISION_CLASS,
    DECISION_LAYER,
    DECISION_CONFIDENCE,
    DECISION_FIELDS
};

template <class logit_T, class event_T, class decision_T, typename CONFIG_T>
void exit_unit(logit_T logits[CONFIG_T::N_CLASSES], event_T event[EVENT_FIELDS], decision_T decision[DECISION_FIELDS]) {
    // an event per clock cycle, as many as the accelerator can ever send
    #pragma HLS PIPELINE II=1
    static_assert(CONFIG_T::N_LAYERS < 1LL << CONFIG_T::LAYER_BITS,
                  "LAYER_BITS must hold every layer, which count from 1");
    static_assert(CONFIG_T::FIRST_EXIT_LAYER <= CONFIG_T::N_LAYERS, "the first exit must be a layer of the network");
    static_assert(logit_T::width == CONFIG_T::LOGIT_BITS && logit_T::iwidth == CONFIG_T::LOGIT_BITS,
                  "logits must be integers of LOGIT_BITS bits");

    const ap_uint<CONFIG_T::SLOT_BITS> slot = event[EVENT_SLOT];
    const ap_uint<CONFIG_T::LAYER_BITS> layer = event[EVENT_LAYER];
    ap_int<CONFIG_T::LOGIT_BITS> q[CONFIG_T::N_CLASSES];
    // all logits of an exit arrive together
    #pragma HLS ARRAY_PARTITION variable=q complete
Logits:
    for (int j = 0; j < CONFIG_T::N_CLASSES; j++) {
        #pragma HLS UNROLL
        q[j] = logits[j];
    }

    const bool active = CONFIG_T::EXIT_MASK(layer.to_uint());
    const bool fresh = layer <= CONFIG_T::FIRST_EXIT_LAYER;
    const candidate<CONFIG_T> winner = winner_of<CONFIG_T>(q);
    const confidence<CONFIG_T> sure = confidence_test<CONFIG_T, CONFIG_T::TEST>::of(q, winner.logit, layer);
    const trend_verdict<CONFIG_T> trend =
        trend_test<CONFIG_T, CONFIG_T::TREND>::of(slot, active, fresh, q, winner.index);
    const bool leaves = (active && (sure.holds || trend.holds)) || layer == CONFIG_T::N_LAYERS;

    decision[DECISION_SLOT] = slot;
    decision[DECISION_EXIT] = leaves;
    decision[DECISION_CLASS] = winner.index;
    decision[DECISION_LAYER] = layer;
    if (CONFIG_T::CONFIDENCE_BITS == 0) {
        decision[DECISION_CONFIDENCE] = 0;
    } else if (CONFIG_T::TEST != TEST_NONE) {
        decision[DECISION_CONFIDENCE] = sure.value;
    } else {
        decision[DECISION_CONFIDENCE] = active ? trend.count : ap_uint<CONFIG_T::COUNT_BITS>(0);
    }
}

} // namespace hexit_kernels

#endif
