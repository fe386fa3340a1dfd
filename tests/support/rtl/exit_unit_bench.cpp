// Runs many timed streams of events through the exit unit, each from reset, and records every handshake's cycle.
//
//   exit_unit_bench INPUT OUTPUT
//
// Both files are little-endian int32. INPUT: the number of streams; per stream n_events and n_cycles of its ready
// pattern; then, for all streams one after the other, per event arrival slot layer q_0 .. q_(K-1); then the ready
// patterns, a word per cycle. An event is offered from its arrival on, but not before the one ahead of it has been
// accepted; the consumer is ready after the end of its pattern. OUTPUT: per event slot exit class layer confidence,
// accepted visible taken. Ends with status 1 and a line where a unit hangs or says too much.

#include <cstdio>
#include <cstdlib>

#include "exit_unit_driver.h"

namespace {

using Word = std::int32_t;

constexpr std::int64_t PATIENCE_CYCLES = 1000;  // beyond the last arrival, the ready pattern and a slot's interlock
constexpr int RESULTS = 8;

[[noreturn]] void stop(const char *why, std::size_t stream, std::size_t event) {
    std::fprintf(stderr, "stream %zu, event %zu: %s\n", stream, event, why);
    std::exit(1);
}

std::vector<Word> read_words(const char *path) {
    std::FILE *file = std::fopen(path, "rb");
    if (!file) stop("the input cannot be read", 0, 0);
    std::fseek(file, 0, SEEK_END);
    std::vector<Word> words(static_cast<std::size_t>(std::ftell(file)) / sizeof(Word));
    std::rewind(file);
    const std::size_t got = std::fread(words.data(), sizeof(Word), words.size(), file);
    std::fclose(file);
    if (got != words.size()) stop("the input ends early", 0, 0);
    return words;
}

void run_stream(Driver &driver, std::size_t number, const Word *events, std::size_t n_events, const Word *ready,
                std::size_t n_cycles, Word *results) {
    constexpr int EVENT_WORDS = 3 + N_CLASSES;
    std::size_t sent = 0, seen_first = 0, received = 0;
    std::int64_t last_arrival = 0;
    for (std::size_t k = 0; k < n_events; ++k) {
        if (events[k * EVENT_WORDS] > last_arrival) last_arrival = events[k * EVENT_WORDS];
    }
    const std::int64_t limit = last_arrival + static_cast<std::int64_t>(n_cycles) +
                               2 * static_cast<std::int64_t>(n_events) + PATIENCE_CYCLES;
    Event event;
    bool loaded = false;
    driver.reset();
    for (std::int64_t cycle = 0; received < n_events; ++cycle) {
        if (cycle > limit) stop("no decision comes", number, received);
        const Word *row = events + sent * EVENT_WORDS;
        const bool offered = sent < n_events && row[0] <= cycle;
        if (offered && !loaded) {
            event.slot = row[1];
            event.layer = row[2];
            event.logits.assign(row + 3, row + EVENT_WORDS);
            loaded = true;
        }
        const bool is_ready = cycle >= static_cast<std::int64_t>(n_cycles) || ready[cycle] != 0;
        const Handshakes seen = driver.cycle(offered ? &event : nullptr, is_ready);
        if (seen.visible && received >= sent) stop("a decision comes before its event", number, received);
        if (seen.visible && seen_first == received) {
            results[received * RESULTS + 6] = static_cast<Word>(cycle);
            ++seen_first;
        }
        if (seen.taken) {
            Word *result = results + received * RESULTS;
            result[0] = seen.decision.slot;
            result[1] = seen.decision.exit;
            result[2] = seen.decision.winner;
            result[3] = seen.decision.layer;
            result[4] = static_cast<Word>(seen.decision.confidence);
            result[7] = static_cast<Word>(cycle);
            ++received;
        }
        if (seen.accepted) {
            results[sent * RESULTS + 5] = static_cast<Word>(cycle);
            ++sent;
            loaded = false;
        }
    }
    for (int i = 0; i <= LATENCY_CYCLES; ++i) {
        if (driver.cycle(nullptr, true).visible) stop("more decisions than events", number, received);
    }
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 3) stop("usage: exit_unit_bench INPUT OUTPUT", 0, 0);
    const std::vector<Word> words = read_words(argv[1]);
    const std::size_t n_streams = static_cast<std::size_t>(words[0]);
    const Word *sizes = words.data() + 1;
    std::size_t n_events = 0;
    for (std::size_t s = 0; s < n_streams; ++s) n_events += sizes[2 * s];

    std::vector<Word> results(n_events * RESULTS);
    const Word *events = sizes + 2 * n_streams;
    const Word *ready = events + n_events * (3 + N_CLASSES);
    Word *found = results.data();
    Driver driver;
    for (std::size_t s = 0; s < n_streams; ++s) {
        const std::size_t count = sizes[2 * s], n_cycles = sizes[2 * s + 1];
        run_stream(driver, s, events, count, ready, n_cycles, found);
        events += count * (3 + N_CLASSES);
        ready += n_cycles;
        found += count * RESULTS;
    }

    std::FILE *file = std::fopen(argv[2], "wb");
    if (!file || std::fwrite(results.data(), sizeof(Word), results.size(), file) != results.size())
        stop("the output cannot be written", 0, 0);
    std::fclose(file);
    return 0;
}
