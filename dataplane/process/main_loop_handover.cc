// SPDX-License-Identifier: Apache-2.0
// What the main thread gives to a successor, and when (handover.h).
#include "dataplane/process/log.h"
#include "dataplane/process/main_loop.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace holdfast::dataplane {

void MainLoop::await_successor() {
  const int listener = booted_.handover.get();
  Handover::Owner owner{.objection = [this] { return objection_to_handover(); },
                        .offer =
                            [this, listener] {
                              auto offer = handed_over();
                              offer[std::to_underlying(HandedOver::kHandover)] = listener;
                              return offer;
                            },
                        .stop =
                            [this] {
                              publisher_->save_rest();
                              stop_workers();
                            },
                        .resume =
                            [this] {
                              adopt_tables();
                              start_workers();
                            },
                        // What there is in the kernel and in files is the successor's by now.
                        .leave = [] { ::_exit(0); }};
  handover_ = std::make_unique<Handover>(
      loop_, std::move(booted_.handover), options_.startup_id, std::move(owner));
}

std::string MainLoop::objection_to_handover() const {
  if (stuck_) {
    return "a worker is stuck";
  }
  const auto single = [](const auto& port) {
    return port->spec().device != PortDevice::kAfPacket && port->spec().device != PortDevice::kNull;
  };
  const auto port = std::ranges::find_if(surroundings_.ports, single);
  return port == surroundings_.ports.end()
             ? std::string()
             : fmt::format("port {} is of a kind that two processes cannot have at once",
                           (*port)->spec().name);
}

std::array<int, kHandedOverCount> MainLoop::handed_over() const {
  std::array<int, kHandedOverCount> offer;
  offer.fill(-1);
  const auto give = [&offer](HandedOver what, int descriptor) {
    offer[std::to_underlying(what)] = descriptor;
  };
  const SeamSockets& sockets = server_->sockets();
  give(HandedOver::kState, booted_.state.file().get());
  give(HandedOver::kSeamLock, sockets.lock.get());
  give(HandedOver::kWriter, sockets.writer.get());
  give(HandedOver::kReader, sockets.reader.get());
  give(HandedOver::kInstance, booted_.name.get());
  give(HandedOver::kRoutes, routes_ ? routes_->descriptor() : -1);
  give(HandedOver::kChildLock, booted_.child_lock.get());
  give(HandedOver::kLog, STDERR_FILENO);
  return offer;
}

}  // namespace holdfast::dataplane
