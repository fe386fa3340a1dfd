// Golden vectors through the top function: every event of golden/events.txt must give the answer that stands in the same
// line of golden/decisions.txt.
//
//   golden/events.txt      slot layer x_0 .. x_(N_INPUTS - 1)      integers; x: logits, or what goes into the head
//   golden/decisions.txt   slot exit class layer confidence
//
// The sentences' state lives in the top function, so events are sent in the order of the file. Ends with status 0 where
// nothing differs, 1 otherwise. An argument N stops after N events: co-simulation is slow.

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "../firmware/nnet_utils/nnet_common.h"
#include "hls_stream.h"

// A plain port: N values side by side.
template <class value_T, int N> struct plain_port {
    static const int size = N;
    value_T values[N];

    bool put(const long long *numbers) {
        bool kept = true;
        for (int i = 0; i < N; i++) {
            values[i] = numbers[i];
            kept = kept && values[i].to_double() == static_cast<double>(numbers[i]);
        }
        return kept;
    }
    bool get(long long *numbers) {
        for (int i = 0; i < N; i++) {
            numbers[i] = static_cast<long long>(values[i].to_double());
        }
        return true;
    }
    value_T *port() { return values; }
};

// A stream: one beat of N values an event.
template <class beat_T, int N> struct stream_port {
    static const int size = N;
    hls::stream<beat_T> beats;

    bool put(const long long *numbers) {
        bool kept = true;
        beat_T beat;
        for (int i = 0; i < N; i++) {
            beat[i] = numbers[i];
            kept = kept && beat[i].to_double() == static_cast<double>(numbers[i]);
        }
        beats.write(beat);
        return kept;
    }
    bool get(long long *numbers) {
        if (beats.empty()) {
            return false;
        }
        beat_T beat = beats.read();
        for (int i = 0; i < N; i++) {
            numbers[i] = static_cast<long long>(beat[i].to_double());
        }
        return beats.empty();
    }
    hls::stream<beat_T> &port() { return beats; }
};

#include "project.h" // input_port, event_port, decision_port; TOP(inputs, event, decision)

static const char *const FIELDS[] = {"slot", "exit", "class", "layer", "confidence"};
enum { N_FIELDS = sizeof(FIELDS) / sizeof(FIELDS[0]) };

// The next line as `n` integers; false at the end of the file. A line of another form ends the run.
static bool read_line(std::istream &file, const char *name, long long *numbers, int n) {
    std::string line;
    if (!std::getline(file, line)) {
        return false;
    }
    std::istringstream words(line);
    bool whole = true;
    for (int i = 0; i < n; i++) {
        whole = whole && (words >> numbers[i]);
    }
    std::string more;
    if (!whole || (words >> more)) {
        std::cout << "hexit: " << name << " has a line that is not " << n << " integers: " << line << std::endl;
        std::exit(1);
    }
    return true;
}

int main(int argc, char **argv) {
    // static: streams with a name of their own are what co-simulation wants, and a head's inputs are many
    static input_port inputs;
    static event_port event;
    static decision_port decision;
    static long long sent[event_port::size + input_port::size];
    long long expected[N_FIELDS], found[N_FIELDS];

    const long most = argc > 1 ? std::atol(argv[1]) : 0;
    long n_events = 0, n_different = 0;
    std::ifstream events("golden/events.txt"), decisions("golden/decisions.txt");
    while ((most <= 0 || n_events < most) &&
           read_line(events, "golden/events.txt", sent, event_port::size + input_port::size)) {
        if (!read_line(decisions, "golden/decisions.txt", expected, N_FIELDS)) {
            std::cout << "hexit: golden/decisions.txt ends after " << n_events << " lines" << std::endl;
            return 1;
        }
        const bool fits = event.put(sent) && inputs.put(sent + event_port::size);
        TOP(inputs.port(), event.port(), decision.port());
        const bool answered = decision.get(found);
        int field = 0;
        while (answered && field < N_FIELDS && found[field] == expected[field]) {
            field++;
        }
        if (!fits || field < N_FIELDS) {
            if (n_different == 0) {
                std::cout << "hexit: event " << n_events + 1 << " (slot " << sent[0] << ", layer " << sent[1] << "): ";
                if (!fits) {
                    std::cout << "an input does not fit its port" << std::endl;
                } else if (!answered) {
                    std::cout << "there is not exactly one answer" << std::endl;
                } else {
                    std::cout << FIELDS[field] << " is " << found[field] << ", expected " << expected[field] << std::endl;
                }
            }
            n_different++;
        }
        n_events++;
    }
    if (most <= 0 && read_line(decisions, "golden/decisions.txt", expected, N_FIELDS)) {
        std::cout << "hexit: golden/decisions.txt goes on after " << n_events << " lines" << std::endl;
        return 1;
    }
    if (n_events == 0) {
        std::cout << "hexit: golden/events.txt has no events" << std::endl;
        return 1;
    }
    std::cout << "hexit: " << n_events << " events, " << n_different << " different" << std::endl;
    return n_different == 0 ? 0 : 1;
}
