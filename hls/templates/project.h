// What the test bench must know of the project: the ports of its top function.
//
// @@{about}

#ifndef HEXIT_TB_PROJECT_H_
#define HEXIT_TB_PROJECT_H_

#include "../firmware/@@{top}.h"

typedef @@{kind}_port<@@{input_type}, @@{n_inputs}> input_port; // @@{input_meaning}
typedef @@{kind}_port<@@{event_type}, @@{n_event}> event_port; // slot, layer
typedef @@{kind}_port<@@{decision_type}, @@{n_decision}> decision_port; // slot, exit, class, layer, confidence

#define TOP(inputs, event, decision) @@{top}(@@{arguments})

#endif
