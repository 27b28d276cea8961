// SPDX-License-Identifier: Apache-2.0
// A small network for tests of kernel-facing ports: this process's child moves into a network
// namespace of its own (and a user namespace when it is not root) and joins two others to it by
// veth:
//
//   client 10.0.1.2 --- wan0 10.0.1.1 [balancer] 10.0.3.1 lan0 --- backend 10.0.3.11
//
// Everything goes with the child. Nothing outside of it is touched.
#pragma once

#include <functional>
#include <string>

#include <sys/types.h>

namespace holdfast::dataplane {

// Why there can be no lab here; empty: there can.
std::string lab_obstacle();

// Runs `body` in a child process in a fresh network namespace, as root of it. Fails the running
// test when it does; what it printed stands above.
void in_new_network(const std::function<void()>& body);

// One more network namespace, held by a child.
class NetworkNamespace {
 public:
  NetworkNamespace();
  NetworkNamespace(const NetworkNamespace&) = delete;
  NetworkNamespace& operator=(const NetworkNamespace&) = delete;
  ~NetworkNamespace();

  // Runs a shell command there; throws when it fails.
  void run(const std::string& command) const;
  // Calls `body` with the calling thread in there: sockets made then stay there.
  void enter(const std::function<void()>& body) const;
  [[nodiscard]] pid_t holder() const { return holder_; }

 private:
  pid_t holder_ = -1;
};

// A shell command here; throws when it fails.
void run_command(const std::string& command);

class Lab {
 public:
  Lab();
  NetworkNamespace client;
  NetworkNamespace backend;
};

}  // namespace holdfast::dataplane
