// SPDX-License-Identifier: Apache-2.0
// Runs blocking work (parsing, disk) on another executor and resumes the caller on its own, so that
// the control thread keeps probing meanwhile.
#pragma once

#include <type_traits>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace holdfast::control {

template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work>> run_work(Work work) {
  co_return work();
}

// Requires: `work` holds what it needs by value and returns a value. Name it and move it in: GCC 12
// destroys the captures of a temporary in a co_await expression twice (its bug 99576).
template <typename Work>
boost::asio::awaitable<std::invoke_result_t<Work>> offload(boost::asio::any_io_executor elsewhere,
                                                           Work work) {
  co_return co_await boost::asio::co_spawn(
      elsewhere, run_work<Work>(std::move(work)), boost::asio::use_awaitable);
}

}  // namespace holdfast::control
