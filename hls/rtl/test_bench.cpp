// Sends the events of events.txt through the exit unit and compares what it says with decisions.txt.
//
//   test_bench [--seed N | --pattern FILE] [--vcd FILE] [EVENTS DECISIONS]
//
// Every event is offered at once and every decision is taken at once, unless told otherwise: `--seed N` makes either
// side pause at random; `--pattern FILE` has a line per cycle, "offer ready", each 0 or 1, and 1 after its end.
// Ends with status 0 if every decision is as it must be, 1 at the first that is not, 2 where files cannot be read.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>

#include "exit_unit_driver.h"

namespace {

constexpr int WRONG = 1, UNUSABLE = 2;
constexpr std::int64_t PATIENCE_CYCLES = 100000;  // without any handshake; no unit is that deep

struct Options {
    std::string events = "../vectors/events.txt";
    std::string decisions = "../vectors/decisions.txt";
    std::string pattern;
    std::string vcd;
    bool seeded = false;
    unsigned long seed = 0;
};

[[noreturn]] void refuse(const std::string &why) {
    std::cerr << "hexit: " << why << "\n";
    std::exit(UNUSABLE);
}

Options read_options(int argc, char **argv) {
    Options options;
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const bool takes_value = word == "--seed" || word == "--pattern" || word == "--vcd";
        if (takes_value && i + 1 == argc) refuse(word + " needs a value");
        if (word == "--seed") {
            options.seeded = true;
            options.seed = std::strtoul(argv[++i], nullptr, 10);
        } else if (word == "--pattern") {
            options.pattern = argv[++i];
        } else if (word == "--vcd") {
            options.vcd = argv[++i];
        } else {
            files.push_back(word);
        }
    }
    if (files.size() == 2) {
        options.events = files[0];
        options.decisions = files[1];
    } else if (!files.empty()) {
        refuse("give both files, EVENTS DECISIONS, or none");
    }
    return options;
}

std::vector<std::vector<std::int64_t>> read_rows(const std::string &path, std::size_t n_columns) {
    std::ifstream file(path);
    if (!file) refuse(path + " cannot be read");
    std::vector<std::vector<std::int64_t>> rows;
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::vector<std::int64_t> row;
        for (std::int64_t value; words >> value;) row.push_back(value);
        if (row.size() != n_columns || !words.eof()) {
            refuse(path + " line " + std::to_string(rows.size() + 1) + ": must be " + std::to_string(n_columns) +
                   " numbers");
        }
        rows.push_back(row);
    }
    return rows;
}

// Whether an event is offered, and whether a decision is taken, cycle by cycle.
class Pauses {
  public:
    explicit Pauses(const Options &options) : seeded_(options.seeded), random_(options.seed) {
        if (!options.pattern.empty()) pattern_ = read_rows(options.pattern, 2);
    }

    void next(bool &offer, bool &ready) {
        offer = ready = true;
        if (seeded_) {
            const auto drawn = random_();
            offer = drawn & 1;
            ready = drawn >> 1 & 1;
        } else if (cycle_ < pattern_.size()) {
            offer = pattern_[cycle_][0] != 0;
            ready = pattern_[cycle_][1] != 0;
        }
        ++cycle_;
    }

  private:
    bool seeded_;
    std::mt19937 random_;
    std::vector<std::vector<std::int64_t>> pattern_;
    std::size_t cycle_ = 0;
};

std::string text(const Decision &decision) {
    std::ostringstream said;
    said << "slot " << decision.slot << " exit " << decision.exit << " class " << decision.winner << " layer "
         << decision.layer << " confidence " << decision.confidence;
    return said.str();
}

}  // namespace

int main(int argc, char **argv) {
    const Options options = read_options(argc, argv);
#if !VM_TRACE_VCD
    if (!options.vcd.empty()) refuse("this program was built without waves; run make vcd");
#endif
    const auto event_rows = read_rows(options.events, 2 + N_CLASSES);
    const auto decision_rows = read_rows(options.decisions, 5);
    if (event_rows.size() != decision_rows.size()) refuse("the files of events and decisions differ in length");

    Driver driver(options.vcd);
    Pauses pauses(options);
    const std::size_t n_events = event_rows.size();
    std::size_t sent = 0, received = 0;
    std::int64_t cycle = 0, last_handshake = 0;
    bool waiting = false;  // an event that was offered stays offered until it is accepted
    Event event;
    for (; received < n_events; ++cycle) {
        bool offer, ready;
        pauses.next(offer, ready);
        waiting = sent < n_events && (waiting || offer);
        if (waiting) {
            const auto &row = event_rows[sent];
            event.slot = static_cast<int>(row[0]);
            event.layer = static_cast<int>(row[1]);
            event.logits.assign(row.begin() + 2, row.end());
        }
        const Handshakes seen = driver.cycle(waiting ? &event : nullptr, ready);
        if (seen.accepted) {
            ++sent;
            waiting = false;
        }
        if (seen.taken) {
            const auto &row = decision_rows[received];
            const Decision golden{static_cast<int>(row[0]), static_cast<int>(row[1]), static_cast<int>(row[2]),
                                  static_cast<int>(row[3]), row[4]};
            if (!(seen.decision == golden)) {
                std::cout << "hexit: event " << received + 1 << " in cycle " << cycle << ": the RTL says "
                          << text(seen.decision) << ", but must say " << text(golden) << "\n";
                std::cout << "hexit: " << received + 1 << " events, 1 different\n";
                return WRONG;
            }
            ++received;
        }
        if (seen.accepted || seen.taken) last_handshake = cycle;
        if (cycle - last_handshake > PATIENCE_CYCLES) {
            std::cout << "hexit: event " << received + 1 << ": no decision within " << PATIENCE_CYCLES << " cycles\n";
            std::cout << "hexit: " << received + 1 << " events, 1 different\n";
            return WRONG;
        }
    }
    for (int i = 0; i <= LATENCY_CYCLES; ++i) {
        if (driver.cycle(nullptr, true).visible) {
            std::cout << "hexit: event " << n_events << ": a decision comes twice\n";
            std::cout << "hexit: " << n_events + 1 << " events, 1 different\n";
            return WRONG;
        }
    }
    std::cout << "hexit: " << n_events << " events, 0 different\n";
    std::cout << "hexit: " << cycle << " cycles, latency " << LATENCY_CYCLES << "\n";
    return 0;
}
