// SPDX-License-Identifier: Apache-2.0
// See collector.h.
#include "control/metrics/collector.h"

#include "control/metrics/rows.h"

#include <prometheus/text_serializer.h>

namespace holdfast::control {

std::vector<prometheus::MetricFamily> Collector::Collect() const {
  return build_families({source_.status(), source_.services(), source_.backends()});
}

const std::string& ScrapeText::at(Time now) {
  if (text_.empty() || now - built_ >= kKept) {
    text_ = prometheus::TextSerializer().Serialize(collector_.Collect());
    built_ = now;
  }
  return text_;
}

}  // namespace holdfast::control
