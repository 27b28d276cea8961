// SPDX-License-Identifier: Apache-2.0
// What control exports: a metric is a row {name, help, type, read function} over one snapshot of
// the operator's views. The tables stand in node_rows.cc, worker_rows.cc and member_rows.cc, by
// what they read. Pure. Series are bounded: by configuration, by the dataplane's fixed names and by
// kMemberLimit; no label ever holds a client's address.
#pragma once

#include "control/admin/operator.h"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>

namespace holdfast::control {

// Members, and likewise bindings, with series of their own; holdfast_members_omitted counts the
// rest. Some 25 series each, so a scrape stays below 30 000 series.
inline constexpr std::size_t kMemberLimit = 1'000;

struct Snapshot {
  StatusView status;
  std::vector<ServiceView> services;
  std::vector<BackendView> backends;
};

inline constexpr auto kCounter = prometheus::MetricType::Counter;
inline constexpr auto kGauge = prometheus::MetricType::Gauge;

using Label = prometheus::ClientMetric::Label;

// Where a row's read function puts its samples: one family, counter or gauge.
class Series {
 public:
  explicit Series(prometheus::MetricFamily& family) : family_(family) {}

  void add_sample(double value, std::vector<Label> labels);
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  void add(Number value, std::vector<Label> labels = {}) {
    add_sample(static_cast<double>(value), std::move(labels));
  }
  // What is not known has no sample.
  template <typename Number>
  void add(const std::optional<Number>& value, std::vector<Label> labels = {}) {
    if (value) {
      add_sample(static_cast<double>(*value), std::move(labels));
    }
  }
  // One sample per known state, 1 for the one that holds; a state that is not known is added.
  void add_one_hot(std::string_view state,
                   std::span<const std::string_view> known,
                   const std::vector<Label>& labels);

 private:
  prometheus::MetricFamily& family_;
};

struct MetricRow {
  std::string_view name;
  std::string_view help;
  prometheus::MetricType type;
  void (*read)(const Snapshot& snapshot, Series& series);
};

std::span<const MetricRow> node_rows();
std::span<const MetricRow> worker_rows();
std::span<const MetricRow> member_rows();

// Every row's family with its samples; families without samples are left out.
std::vector<prometheus::MetricFamily> build_families(const Snapshot& snapshot);

}  // namespace holdfast::control
