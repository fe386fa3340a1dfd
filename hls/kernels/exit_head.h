// Between the linear layers of an exit head and after them: accumulators to integers of few bits, and tanh.
//
//   y = clamp((a MULTIPLIER(c) + 2^(SHIFT - 1)) >> SHIFT) to POSITION_BITS bits, two's complement
//
// is the output, or, where HAS_TANH, a position on the axis of tanh: with h its high ADDRESS_BITS bits, l the others,
//
//   output = feature(h + 2^(ADDRESS_BITS - 1)) + (l > threshold(h + 2^(ADDRESS_BITS - 1)))
//
// c is the channel. N_CHANNELS channels take REUSE_FACTOR cycles, so that few multipliers do the work of all.
// CONFIG_T is generated, its table `tanh` as well.

#ifndef HEXIT_KERNELS_EXIT_HEAD_H_
#define HEXIT_KERNELS_EXIT_HEAD_H_

#include "ap_int.h"

namespace hexit_kernels {

// One channel's accumulator, rounded half up and clamped.
template <typename CONFIG_T>
ap_int<CONFIG_T::POSITION_BITS> position_of(ap_int<CONFIG_T::ACCUMULATOR_BITS> accumulator, int channel) {
    #pragma HLS INLINE
    static_assert(CONFIG_T::SHIFT >= 1, "without a shift there is nothing to round");
    static_assert(CONFIG_T::SHIFT < CONFIG_T::ACCUMULATOR_BITS + CONFIG_T::MULTIPLIER_BITS,
                  "the rounding constant must not need more bits than the product");
    // one bit more than the product: adding the rounding constant may carry
    typedef ap_int<CONFIG_T::ACCUMULATOR_BITS + CONFIG_T::MULTIPLIER_BITS + 1> product_t;
    const ap_int<CONFIG_T::MULTIPLIER_BITS> multiplier = CONFIG_T::MULTIPLIER(channel);
    const product_t rounded = accumulator * multiplier + (1LL << (CONFIG_T::SHIFT - 1));
    const product_t shifted = rounded >> CONFIG_T::SHIFT;
    const long limit = 1L << (CONFIG_T::POSITION_BITS - 1);
    if (shifted < -limit) {
        return -limit;
    }
    if (shifted > limit - 1) {
        return limit - 1;
    }
    return shifted;
}

template <typename CONFIG_T, bool HAS_TANH> struct activation {
    typedef typename CONFIG_T::tanh tanh;
    static_assert(CONFIG_T::POSITION_BITS == tanh::ADDRESS_BITS + tanh::THRESHOLD_BITS,
                  "a position is the address of an entry and the bits that its threshold is compared with");

    static ap_int<CONFIG_T::OUTPUT_BITS> of(ap_int<CONFIG_T::POSITION_BITS> position) {
        #pragma HLS INLINE
        const ap_int<tanh::ADDRESS_BITS> high = position >> tanh::THRESHOLD_BITS;
        const ap_uint<tanh::ADDRESS_BITS> address = high + (1 << (tanh::ADDRESS_BITS - 1));
        const long low = position.to_long() & ((1L << tanh::THRESHOLD_BITS) - 1);
        return tanh::feature(address.to_uint()) + (low > tanh::threshold(address.to_uint()) ? 1 : 0);
    }
};

template <typename CONFIG_T> struct activation<CONFIG_T, false> {
    static_assert(CONFIG_T::POSITION_BITS == CONFIG_T::OUTPUT_BITS, "without a table the position is the output");

    static ap_int<CONFIG_T::OUTPUT_BITS> of(ap_int<CONFIG_T::POSITION_BITS> position) {
        #pragma HLS INLINE
        return position;
    }
};

template <class accumulator_T, class output_T, typename CONFIG_T>
void requantise(accumulator_T accumulators[CONFIG_T::N_CHANNELS], output_T outputs[CONFIG_T::N_CHANNELS]) {
    static_assert(CONFIG_T::N_CHANNELS % CONFIG_T::REUSE_FACTOR == 0, "the channels must share the multipliers evenly");
    static_assert(accumulator_T::width == CONFIG_T::ACCUMULATOR_BITS &&
                      accumulator_T::iwidth == CONFIG_T::ACCUMULATOR_BITS,
                  "accumulators must be integers of ACCUMULATOR_BITS bits");
Reuse:
    for (int step = 0; step < CONFIG_T::REUSE_FACTOR; step++) {
        // channels are independent of each other
        #pragma HLS PIPELINE II=1
    Channels:
        for (int part = 0; part < CONFIG_T::N_CHANNELS / CONFIG_T::REUSE_FACTOR; part++) {
            #pragma HLS UNROLL
            const int channel = part * CONFIG_T::REUSE_FACTOR + step;
            const ap_int<CONFIG_T::POSITION_BITS> position = position_of<CONFIG_T>(accumulators[channel], channel);
            outputs[channel] = activation<CONFIG_T, CONFIG_T::HAS_TANH>::of(position);
        }
    }
}

} // namespace hexit_kernels

#endif
