// SPDX-License-Identifier: Apache-2.0
// Dispositions by name and by specification, over the registry. Main thread.
#pragma once

#include "dataplane/registry.h"
#include "dataplane/spec.h"
#include "dataplane/state.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::dataplane {

// What a member is set to, and when it is reset by itself (MemberRecord::drain_deadline_ms).
struct MemberOrder {
  Disposition disposition = Disposition::kNew;
  std::uint64_t drain_deadline_ms = 0;
};

// Sets every active member of that name in the service. Returns how many there are.
std::size_t set_disposition(const MemberRegistry& members,
                            DispositionTable dispositions,
                            std::string_view service,
                            std::string_view backend,
                            MemberOrder order);

// Resets the members whose drain's deadline is over; whoever does not keep its flows, as ordered
// then, is left alone. Returns their names, "web/a".
std::vector<std::string> end_drains(const MemberRegistry& members,
                                    DispositionTable dispositions,
                                    std::uint64_t now_ms);

// Brings the table in line with a specification whose members have their ids: those it names get
// what it says, retired ones keep their flows and take no new ones, for as long as these last.
void apply_dispositions(const GenerationSpec& spec,
                        const MemberRegistry& members,
                        DispositionTable dispositions);

}  // namespace holdfast::dataplane
