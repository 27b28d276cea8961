// SPDX-License-Identifier: Apache-2.0
// See rows.h. Families stand in the order of the tables; one without a sample is left out, because
// a help line alone says that something is 0.
#include "control/metrics/rows.h"

#include <algorithm>
#include <utility>

namespace holdfast::control {

void Series::add_sample(double value, std::vector<Label> labels) {
  prometheus::ClientMetric& sample = family_.metric.emplace_back();
  sample.label = std::move(labels);
  if (family_.type == prometheus::MetricType::Counter) {
    sample.counter.value = value;
  } else {
    sample.gauge.value = value;
  }
}

void Series::add_one_hot(std::string_view state,
                         std::span<const std::string_view> known,
                         const std::vector<Label>& labels) {
  const auto add_state = [&](std::string_view name) {
    std::vector<Label> with_state = labels;
    with_state.push_back({"state", std::string(name)});
    add(name == state ? 1.0 : 0.0, std::move(with_state));
  };
  std::ranges::for_each(known, add_state);
  if (std::ranges::find(known, state) == known.end()) {
    add_state(state);
  }
}

std::vector<prometheus::MetricFamily> build_families(const Snapshot& snapshot) {
  std::vector<prometheus::MetricFamily> families;
  for (const auto rows : {node_rows(), worker_rows(), member_rows()}) {
    for (const MetricRow& row : rows) {
      prometheus::MetricFamily family;
      family.name = row.name;
      family.help = row.help;
      family.type = row.type;
      Series series(family);
      row.read(snapshot, series);
      if (!family.metric.empty()) {
        families.push_back(std::move(family));
      }
    }
  }
  return families;
}

}  // namespace holdfast::control
