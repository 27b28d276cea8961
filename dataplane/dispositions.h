// SPDX-License-Identifier: Apache-2.0
// Dispositions by name and by specification, over the registry. Main thread.
#pragma once

#include "dataplane/registry.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <string_view>

namespace holdfast::dataplane {

// Sets every active member of that name in the service. Returns how many there are.
std::size_t set_disposition(const MemberRegistry& members,
                            DispositionTable dispositions,
                            std::string_view service,
                            std::string_view backend,
                            Disposition disposition);

// Brings the table in line with a specification whose members have their ids: those it names get
// what it says, retired ones keep their flows and take no new ones.
void apply_dispositions(const GenerationSpec& spec,
                        const MemberRegistry& members,
                        DispositionTable dispositions);

}  // namespace holdfast::dataplane
