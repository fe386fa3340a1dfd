// Tests of one exit alone: does the unit leave here because it is sure?
//
//   DIFFERENCE    |q_0 - q_1| >= MIN_DIFFERENCE
//   ENTROPY       A (ln A - ENTROPY_THRESHOLD) + B 2^FRACTION_BITS < 0
//   PROBABILITY   A <= SUM_LIMIT
//   FIXED_LAYER   layer == FIXED_LAYER
//
// with m = max_j q_j, A = sum_j exponential[m - q_j], B = sum_j weighted[m - q_j] and
// ln A = logarithm[A - 2^FRACTION_BITS]: no exponential, logarithm or division is computed. All widths are exact.

#ifndef HEXIT_KERNELS_EXIT_CONFIDENCE_H_
#define HEXIT_KERNELS_EXIT_CONFIDENCE_H_

#include "exit_common.h"

namespace hexit_kernels {

// Whether a test holds, and the integer that it compared.
template <class CONFIG_T> struct confidence {
    static const int BITS = CONFIG_T::CONFIDENCE_BITS > 0 ? CONFIG_T::CONFIDENCE_BITS : 1;

    bool holds;
    ap_uint<BITS> value;
};

template <class CONFIG_T, int TEST> struct confidence_test;

template <class CONFIG_T> struct confidence_test<CONFIG_T, TEST_NONE> {
    static confidence<CONFIG_T> of(const ap_int<CONFIG_T::LOGIT_BITS> *, ap_int<CONFIG_T::LOGIT_BITS>,
                                   ap_uint<CONFIG_T::LAYER_BITS>) {
        #pragma HLS INLINE
        const confidence<CONFIG_T> found = {false, 0};
        return found;
    }
};

template <class CONFIG_T> struct confidence_test<CONFIG_T, TEST_FIXED_LAYER> {
    static confidence<CONFIG_T> of(const ap_int<CONFIG_T::LOGIT_BITS> *, ap_int<CONFIG_T::LOGIT_BITS>,
                                   ap_uint<CONFIG_T::LAYER_BITS> layer) {
        #pragma HLS INLINE
        static_assert(CONFIG_T::CONFIDENCE_BITS == 0, "a fixed layer compares no logits, so it has no confidence");
        const confidence<CONFIG_T> found = {layer == CONFIG_T::FIXED_LAYER, 0};
        return found;
    }
};

template <class CONFIG_T> struct confidence_test<CONFIG_T, TEST_DIFFERENCE> {
    static confidence<CONFIG_T> of(const ap_int<CONFIG_T::LOGIT_BITS> *logits, ap_int<CONFIG_T::LOGIT_BITS>,
                                   ap_uint<CONFIG_T::LAYER_BITS>) {
        #pragma HLS INLINE
        static_assert(CONFIG_T::N_CLASSES == 2, "a difference is one of two logits");
        static_assert(CONFIG_T::CONFIDENCE_BITS == 0 || CONFIG_T::CONFIDENCE_BITS == CONFIG_T::LOGIT_BITS,
                      "the distance of two logits has the bits of a logit, unsigned");
        const ap_int<CONFIG_T::LOGIT_BITS + 1> difference = logits[0] - logits[1];
        const ap_uint<CONFIG_T::LOGIT_BITS> distance = magnitude<CONFIG_T::LOGIT_BITS + 1>(difference);
        const confidence<CONFIG_T> found = {distance >= CONFIG_T::MIN_DIFFERENCE, distance};
        return found;
    }
};

template <class CONFIG_T> struct confidence_test<CONFIG_T, TEST_PROBABILITY> {
    static confidence<CONFIG_T> of(const ap_int<CONFIG_T::LOGIT_BITS> *logits, ap_int<CONFIG_T::LOGIT_BITS> most,
                                   ap_uint<CONFIG_T::LAYER_BITS>) {
        #pragma HLS INLINE
        static_assert(CONFIG_T::CONFIDENCE_BITS == 0 || CONFIG_T::CONFIDENCE_BITS == CONFIG_T::SUM_BITS,
                      "the confidence is the sum A");
        const ap_uint<CONFIG_T::SUM_BITS> total =
            table_sum<typename CONFIG_T::exponential, CONFIG_T::N_CLASSES, CONFIG_T::SUM_BITS>(most, logits);
        const confidence<CONFIG_T> found = {total <= CONFIG_T::SUM_LIMIT, total};
        return found;
    }
};

template <class CONFIG_T> struct confidence_test<CONFIG_T, TEST_ENTROPY> {
    static const int WEIGHTED_SUM_BITS =
        CONFIG_T::WEIGHTED_BITS + bit_length<static_cast<unsigned long long>(CONFIG_T::N_CLASSES)>::value;
    // ln A - threshold: one bit for the sign
    static const int EXCESS_BITS =
        1 + larger_of<CONFIG_T::LOGARITHM_BITS, bit_length<CONFIG_T::ENTROPY_THRESHOLD>::value>::value;
    static const int PRODUCT_BITS = CONFIG_T::SUM_BITS + EXCESS_BITS;
    static const int LEFT_BITS = larger_of<PRODUCT_BITS, WEIGHTED_SUM_BITS + CONFIG_T::FRACTION_BITS + 1>::value + 1;

    static confidence<CONFIG_T> of(const ap_int<CONFIG_T::LOGIT_BITS> *logits, ap_int<CONFIG_T::LOGIT_BITS> most,
                                   ap_uint<CONFIG_T::LAYER_BITS>) {
        #pragma HLS INLINE
        static_assert(CONFIG_T::CONFIDENCE_BITS == 0 || CONFIG_T::CONFIDENCE_BITS == CONFIG_T::SUM_BITS,
                      "the confidence is the sum A");
        const ap_uint<CONFIG_T::SUM_BITS> total =
            table_sum<typename CONFIG_T::exponential, CONFIG_T::N_CLASSES, CONFIG_T::SUM_BITS>(most, logits);
        const ap_uint<WEIGHTED_SUM_BITS> weighted =
            table_sum<typename CONFIG_T::weighted, CONFIG_T::N_CLASSES, WEIGHTED_SUM_BITS>(most, logits);
        // the winner itself adds exactly 1 to A
        const ap_uint<CONFIG_T::SUM_BITS> above = total - (1LL << CONFIG_T::FRACTION_BITS);
        const ap_int<EXCESS_BITS> excess =
            look_up<typename CONFIG_T::logarithm, CONFIG_T::SUM_BITS>(above) - CONFIG_T::ENTROPY_THRESHOLD;
        const ap_int<PRODUCT_BITS> product = total * excess;
        const ap_int<LEFT_BITS> scaled = ap_int<LEFT_BITS>(weighted) << CONFIG_T::FRACTION_BITS;
        const ap_int<LEFT_BITS> left = product + scaled;
        const confidence<CONFIG_T> found = {left < 0, total};
        return found;
    }
};

} // namespace hexit_kernels

#endif
