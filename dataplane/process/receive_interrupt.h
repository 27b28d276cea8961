// SPDX-License-Identifier: Apache-2.0
// The interrupt of a card's receive queue, by which it ends its worker's sleep. VFIO hands it over
// as an eventfd; without an IOMMU (uio) there is one interrupt for everything, which is left alone.
// Found by the main thread, then the queue's worker's.
#pragma once

#include <cstdint>
#include <optional>

namespace holdfast::dataplane {

class ReceiveInterrupt {
 public:
  // Nullopt where the driver has none. Requires: `device`, DPDK's number of it, runs, configured
  // with interrupts of receive queues.
  static std::optional<ReceiveInterrupt> find(std::uint16_t device, std::uint16_t queue);

  // Readable once a frame came while it was armed.
  [[nodiscard]] int descriptor() const { return descriptor_; }
  // A frame that came before may go unnoticed: look into the queue behind this.
  void arm() const;
  // Takes what came meanwhile: whether it did.
  bool disarm() const;

 private:
  ReceiveInterrupt(std::uint16_t device, std::uint16_t queue, int descriptor)
      : device_(device), queue_(queue), descriptor_(descriptor) {}

  std::uint16_t device_;
  std::uint16_t queue_;
  int descriptor_;  // the driver's
};

}  // namespace holdfast::dataplane
