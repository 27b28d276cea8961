// SPDX-License-Identifier: Apache-2.0
// See receive_interrupt.h.
#include "dataplane/process/receive_interrupt.h"

#include <rte_ethdev.h>
#include <unistd.h>

namespace holdfast::dataplane {

std::optional<ReceiveInterrupt> ReceiveInterrupt::find(std::uint16_t device, std::uint16_t queue) {
  const int descriptor = rte_eth_dev_rx_intr_ctl_q_get_fd(device, queue);
  if (descriptor < 0 || rte_eth_dev_rx_intr_enable(device, queue) != 0) {
    return std::nullopt;
  }
  const ReceiveInterrupt found(device, queue, descriptor);
  found.disarm();
  return found;
}

void ReceiveInterrupt::arm() const { rte_eth_dev_rx_intr_enable(device_, queue_); }

bool ReceiveInterrupt::disarm() const {
  rte_eth_dev_rx_intr_disable(device_, queue_);
  std::uint64_t count = 0;
  return ::read(descriptor_, &count, sizeof(count)) == sizeof(count);
}

}  // namespace holdfast::dataplane
