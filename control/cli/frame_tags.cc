// SPDX-License-Identifier: Apache-2.0
#include "control/cli/frame_tags.h"

#include "dataplane/headers.h"

namespace holdfast::control {

void tag_frame(std::vector<std::byte>& frame, dataplane::VlanTags tags) {
  const std::size_t room = tags.count() * dataplane::kVlanTagSize;
  const auto size = static_cast<std::uint32_t>(frame.size());
  frame.insert(frame.begin(), room, std::byte{0});
  dataplane::Frame view{.data = frame.data() + room,
                        .length = size,
                        .contiguous = sizeof(dataplane::EthernetHeader),
                        .headroom = static_cast<std::uint16_t>(room)};
  put_tags(view, sizeof(dataplane::EthernetHeader), tags);
}

}  // namespace holdfast::control
