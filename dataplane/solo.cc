// SPDX-License-Identifier: Apache-2.0
// One worker over heap memory.
#include "dataplane/solo.h"

#include "dataplane/dispositions.h"

#include <new>
#include <utility>

namespace holdfast::dataplane {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

void Solo::FreeMemory::operator()(std::byte* memory) const {
  ::operator delete[](memory, kAlignment);
}

Solo::Solo(Memory memory, const SharedState& shared, const SoloOptions& options)
    : memory_(std::move(memory)),
      shared_(shared),
      hasher_(options.key),
      members_(shared_.member_records()),
      bindings_(shared_.binding_records()),
      worker_(std::make_unique<WorkerState>(shared_, 0, 1)) {
  forwarding_.check_macs = options.check_macs;
}

std::expected<std::unique_ptr<Solo>, std::string> Solo::create(const GenerationSpec& spec,
                                                               Neighborhood neighborhood,
                                                               const SoloOptions& options) {
  const StateGeometry geometry = StateGeometry::from(options.flows, 1);
  Memory memory(static_cast<std::byte*>(::operator new[](geometry.bytes(), kAlignment)));
  const std::span region(memory.get(), geometry.bytes());
  const SharedState shared = SharedState::format(region, geometry, options.key, BootId{});
  std::unique_ptr<Solo> solo(new Solo(std::move(memory), shared, options));
  solo->neighborhood_ = std::move(neighborhood);
  if (auto published = solo->publish(spec); !published) {
    return std::unexpected(std::move(published.error()));
  }
  return solo;
}

std::expected<std::vector<ServiceChange>, std::string> Solo::publish(const GenerationSpec& spec) {
  auto built = build_generation(spec, members_, bindings_, hasher_, generation_.get(), now_ms_);
  if (!built) {
    return std::unexpected(std::move(built.error()));
  }
  apply_dispositions(spec, members_, shared_.dispositions());
  generation_ = std::move(built->generation);
  refresh_forwarding();
  return std::move(built->changes);
}

void Solo::set_neighborhood(Neighborhood neighborhood) {
  neighborhood_ = std::move(neighborhood);
  refresh_forwarding();
}

std::size_t Solo::set_disposition(std::string_view service,
                                  std::string_view backend,
                                  Disposition disposition) {
  return dataplane::set_disposition(
      members_, shared_.dispositions(), service, backend, {disposition, 0});
}

void Solo::refresh_forwarding() {
  member_hops_ = build_member_hops(*generation_, neighborhood_);
  forwarding_.generation = generation_.get();
  forwarding_.neighborhood = &neighborhood_;
  forwarding_.member_hops = member_hops_;
}

void Solo::run(Burst& burst, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  sweep(*worker_, *generation_, now_ms);
  parse(burst);
  hash_keys(burst, hasher_);
  run_stages(burst, forwarding_, *worker_, now_ms);
}

bool Solo::take_released(Burst& burst) {
  burst.begin(worker_->fragments.take_released(burst.frame));
  return burst.size > 0;
}

}  // namespace holdfast::dataplane
