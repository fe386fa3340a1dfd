// Requantisation between streams: a beat holds the accumulators of all channels, or their outputs.

#ifndef HEXIT_KERNELS_EXIT_HEAD_STREAM_H_
#define HEXIT_KERNELS_EXIT_HEAD_STREAM_H_

#include "exit_head.h"
#include "hls_stream.h"
#include "nnet_common.h"

namespace hexit_kernels {

template <class accumulators_T, typename CONFIG_T>
void read_beat(hls::stream<accumulators_T> &stream, typename accumulators_T::value_type values[CONFIG_T::N_CHANNELS]) {
    #pragma HLS INLINE
    static_assert(accumulators_T::size == CONFIG_T::N_CHANNELS, "all channels must come in one beat");
    const accumulators_T beat = stream.read();
Read:
    for (int channel = 0; channel < CONFIG_T::N_CHANNELS; channel++) {
        #pragma HLS UNROLL
        values[channel] = beat[channel];
    }
}

template <class outputs_T, typename CONFIG_T>
void write_beat(typename outputs_T::value_type values[CONFIG_T::N_CHANNELS], hls::stream<outputs_T> &stream) {
    #pragma HLS INLINE
    static_assert(outputs_T::size == CONFIG_T::N_CHANNELS, "all channels must leave in one beat");
    outputs_T beat;
    PRAGMA_DATA_PACK(beat)
Write:
    for (int channel = 0; channel < CONFIG_T::N_CHANNELS; channel++) {
        #pragma HLS UNROLL
        beat[channel] = values[channel];
    }
    stream.write(beat);
}

template <class accumulators_T, class outputs_T, typename CONFIG_T>
void requantise_beat(hls::stream<accumulators_T> &accumulator_stream, hls::stream<outputs_T> &output_stream) {
    #pragma HLS INLINE
    typename accumulators_T::value_type accumulators[CONFIG_T::N_CHANNELS];
    typename outputs_T::value_type outputs[CONFIG_T::N_CHANNELS];
    // any channel may be computed in any cycle
    #pragma HLS ARRAY_PARTITION variable=accumulators complete
    #pragma HLS ARRAY_PARTITION variable=outputs complete
    read_beat<accumulators_T, CONFIG_T>(accumulator_stream, accumulators);
    requantise<typename accumulators_T::value_type, typename outputs_T::value_type, CONFIG_T>(accumulators, outputs);
    write_beat<outputs_T, CONFIG_T>(outputs, output_stream);
}

// Channels that share multipliers: a beat is read when the one before it is done.
template <class accumulators_T, class outputs_T, typename CONFIG_T, bool EVERY_CYCLE> struct requantise_process {
    static void run(hls::stream<accumulators_T> &accumulator_stream, hls::stream<outputs_T> &output_stream) {
        #pragma HLS INLINE
        requantise_beat<accumulators_T, outputs_T, CONFIG_T>(accumulator_stream, output_stream);
    }
};

template <class accumulators_T, class outputs_T, typename CONFIG_T>
struct requantise_process<accumulators_T, outputs_T, CONFIG_T, true> {
    static void run(hls::stream<accumulators_T> &accumulator_stream, hls::stream<outputs_T> &output_stream) {
        // a multiplier per channel can take a beat every cycle, but only if reading and writing overlap with it
        #pragma HLS PIPELINE II=1
        requantise_beat<accumulators_T, outputs_T, CONFIG_T>(accumulator_stream, output_stream);
    }
};

template <class accumulators_T, class outputs_T, typename CONFIG_T>
void requantise(hls::stream<accumulators_T> &accumulator_stream, hls::stream<outputs_T> &output_stream) {
    static const bool EVERY_CYCLE = CONFIG_T::REUSE_FACTOR == 1;
    requantise_process<accumulators_T, outputs_T, CONFIG_T, EVERY_CYCLE>::run(accumulator_stream, output_stream);
}

} // namespace hexit_kernels

#endif
