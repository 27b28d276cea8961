// SPDX-License-Identifier: Apache-2.0
// The one Collectable of the process: reads the operator's views when it is scraped and builds
// every family from the rows. Control thread; nothing is counted by prometheus objects.
#pragma once

#include "control/admin/operator.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

namespace holdfast::control {

class Collector final : public prometheus::Collectable {
 public:
  // Requires: `source` outlives the collector.
  explicit Collector(Operator& source) : source_(source) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Operator& source_;
};

// A scrape's text, built at most once per `kKept`: a storm of scrapes costs no more than that.
class ScrapeText {
 public:
  static constexpr std::chrono::milliseconds kKept{250};
  using Time = std::chrono::steady_clock::time_point;

  explicit ScrapeText(const prometheus::Collectable& collector) : collector_(collector) {}
  const std::string& at(Time now);

 private:
  const prometheus::Collectable& collector_;
  std::string text_;
  Time built_;
};

}  // namespace holdfast::control
