// What the parts of an exit unit are made of: a balanced tree, the first of the largest logits, tables.
//
//   tree      op(op(x_0, x_1), op(x_2, x_3)) and so on: ceil(log2 N) levels
//   look_up   entries[(x + 2^SHIFT / 2) >> SHIFT], and 0 beyond the last entry
//
// CONFIG_T is generated: constants under the names of the exit unit's specification, and a struct per table with
// SHIFT, ENTRIES, BITS and entry(address). Everything here is combinational.

#ifndef HEXIT_KERNELS_EXIT_COMMON_H_
#define HEXIT_KERNELS_EXIT_COMMON_H_

#include "ap_int.h"

namespace hexit_kernels {

// The tests and trends that CONFIG_T::TEST and CONFIG_T::TREND name.
enum test { TEST_NONE = 0, TEST_DIFFERENCE = 1, TEST_ENTROPY = 2, TEST_PROBABILITY = 3, TEST_FIXED_LAYER = 4 };
enum trend { TREND_NONE = 0, TREND_WINNER_RUN = 1, TREND_SMALL_STEP_RUN = 2, TREND_SIDE_RUN = 3 };

// Bits of an unsigned constant.
template <unsigned long long X> struct bit_length {
    static const int value = 1 + bit_length<(X >> 1)>::value;
};
template <> struct bit_length<0> {
    static const int value = 0;
};

template <int A, int B> struct larger_of {
    static const int value = A > B ? A : B;
};

// Split in halves at compile time: HLS balances a chain of additions, but not one of comparisons.
template <class OP, class T, int N> struct tree {
    static_assert(N > 1, "a tree has at least one leaf");
    static const int LEFT = (N + 1) / 2;

    static T reduce(const T *leaves) {
        #pragma HLS INLINE
        return OP::apply(tree<OP, T, LEFT>::reduce(leaves), tree<OP, T, N - LEFT>::reduce(leaves + LEFT));
    }
};

template <class OP, class T> struct tree<OP, T, 1> {
    static T reduce(const T *leaves) {
        #pragma HLS INLINE
        return leaves[0];
    }
};

struct add {
    template <class T> static T apply(T a, T b) { return a + b; }
};
struct larger {
    template <class T> static T apply(T a, T b) { return b > a ? b : a; }
};
struct smaller {
    template <class T> static T apply(T a, T b) { return b < a ? b : a; }
};

// |x|, for an x that is not the most negative number of its width.
template <int BITS> ap_uint<BITS - 1> magnitude(ap_int<BITS> x) {
    #pragma HLS INLINE
    if (x < 0) {
        return -x;
    }
    return x;
}

// A logit and its class; of equal logits the first one wins, which stands on the left in every tree.
template <class CONFIG_T> struct candidate {
    ap_int<CONFIG_T::LOGIT_BITS> logit;
    ap_uint<CONFIG_T::CLASS_BITS> index;
};

struct first_of_the_largest {
    template <class T> static T apply(T a, T b) {
        if (b.logit > a.logit) {
            return b;
        }
        return a;
    }
};

// argmax_j q_j and max_j q_j.
template <class CONFIG_T>
candidate<CONFIG_T> winner_of(const ap_int<CONFIG_T::LOGIT_BITS> logits[CONFIG_T::N_CLASSES]) {
    #pragma HLS INLINE
    static_assert(CONFIG_T::N_CLASSES <= 1 << CONFIG_T::CLASS_BITS, "CLASS_BITS must hold every class");
    candidate<CONFIG_T> candidates[CONFIG_T::N_CLASSES];
    // every logit is compared in the same cycle
    #pragma HLS ARRAY_PARTITION variable=candidates complete
Candidates:
    for (int j = 0; j < CONFIG_T::N_CLASSES; j++) {
        #pragma HLS UNROLL
        candidates[j].logit = logits[j];
        candidates[j].index = j;
    }
    return tree<first_of_the_largest, candidate<CONFIG_T>, CONFIG_T::N_CLASSES>::reduce(candidates);
}

template <class TABLE, int X_BITS> ap_uint<TABLE::BITS> look_up(ap_uint<X_BITS> x) {
    #pragma HLS INLINE
    static_assert(TABLE::ENTRIES > 0, "a table that is read must have entries");
    // one bit more: rounding to the nearest address may carry
    typedef ap_uint<larger_of<X_BITS, TABLE::SHIFT>::value + 1> address_t;
    const address_t half = (1LL << TABLE::SHIFT) >> 1;
    const address_t address = address_t(x + half) >> TABLE::SHIFT;
    if (address >= TABLE::ENTRIES) {
        return 0;
    }
    return TABLE::entry(address.to_uint());
}

// sum_j table[most - q_j] over N logits, none of which is larger than `most`.
template <class TABLE, int N, int SUM_BITS, int LOGIT_BITS>
ap_uint<SUM_BITS> table_sum(ap_int<LOGIT_BITS> most, const ap_int<LOGIT_BITS> *logits) {
    #pragma HLS INLINE
    static_assert(SUM_BITS >= bit_length<static_cast<unsigned long long>(N)>::value + TABLE::BITS - 1,
                  "the sum must hold N entries; the largest one is a power of two where no bit is to spare");
    ap_uint<SUM_BITS> terms[N];
    // all terms are read in the same cycle: a ROM per class
    #pragma HLS ARRAY_PARTITION variable=terms complete
Terms:
    for (int j = 0; j < N; j++) {
        #pragma HLS UNROLL
        // most - q_j is never negative and at most 2^LOGIT_BITS - 1
        terms[j] = look_up<TABLE, LOGIT_BITS>(ap_uint<LOGIT_BITS>(most - logits[j]));
    }
    return tree<add, ap_uint<SUM_BITS>, N>::reduce(terms);
}

} // namespace hexit_kernels

#endif
