// The exit unit between streams: a beat of logits and a beat of [slot, layer] make a beat of
// [slot, exit, class, layer, confidence]. The two inputs wait for each other.

#ifndef HEXIT_KERNELS_EXIT_UNIT_STREAM_H_
#define HEXIT_KERNELS_EXIT_UNIT_STREAM_H_

#include "exit_unit.h"
#include "hls_stream.h"
#include "nnet_common.h"

namespace hexit_kernels {

template <class logits_T, class event_T, class decision_T, typename CONFIG_T>
void exit_unit(hls::stream<logits_T> &logits_stream, hls::stream<event_T> &event_stream,
               hls::stream<decision_T> &decision_stream) {
    // an event per clock cycle, as in the unit itself, which becomes part of this pipeline
    #pragma HLS PIPELINE II=1
    static_assert(logits_T::size == CONFIG_T::N_CLASSES, "all logits of an exit must come in one beat");
    static_assert(event_T::size == EVENT_FIELDS, "slot and layer must come in one beat");
    static_assert(decision_T::size == DECISION_FIELDS, "a decision must leave in one beat");

    typename logits_T::value_type logits[CONFIG_T::N_CLASSES];
    typename event_T::value_type event[EVENT_FIELDS];
    typename decision_T::value_type decision[DECISION_FIELDS];
    // a beat is read and written at once
    #pragma HLS ARRAY_PARTITION variable=logits complete
    #pragma HLS ARRAY_PARTITION variable=event complete
    #pragma HLS ARRAY_PARTITION variable=decision complete

    const logits_T logits_beat = logits_stream.read();
    const event_T event_beat = event_stream.read();
Logits:
    for (int j = 0; j < CONFIG_T::N_CLASSES; j++) {
        #pragma HLS UNROLL
        logits[j] = logits_beat[j];
    }
Event:
    for (int j = 0; j < EVENT_FIELDS; j++) {
        #pragma HLS UNROLL
        event[j] = event_beat[j];
    }
    exit_unit<typename logits_T::value_type, typename event_T::value_type, typename decision_T::value_type, CONFIG_T>(
        logits, event, decision);
    decision_T decision_beat;
    PRAGMA_DATA_PACK(decision_beat)
Decision:
    for (int j = 0; j < DECISION_FIELDS; j++) {
        #pragma HLS UNROLL
        decision_beat[j] = decision[j];
    }
    decision_stream.write(decision_beat);
}

} // namespace hexit_kernels

#endif
